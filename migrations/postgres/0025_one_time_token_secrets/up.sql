-- The token's text, sealed by the key ring: a user who starts again before half of its life is over gets the same token, so that
-- the one in the mail stays good. NULL for tokens from before, which are replaced.
ALTER TABLE cf_one_time_tokens ADD COLUMN plaintext_sealed bytea;
