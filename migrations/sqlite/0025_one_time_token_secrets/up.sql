-- The token's text, sealed by the key ring. Starting again within the first half of its lifetime returns the same token, so that the
-- mailed one stays valid. NULL for earlier tokens, which are replaced.
ALTER TABLE cf_one_time_tokens ADD COLUMN plaintext_sealed blob;
