-- A rotation writes to each index of the table. So lookups of all tokens of a user or of one session share one index, and the live
-- tokens have one that stays small.
DROP INDEX cf_refresh_tokens_family_idx;
DROP INDEX cf_refresh_tokens_user_idx;
CREATE INDEX cf_refresh_tokens_user_family_idx ON cf_refresh_tokens (user_id, family_id);
CREATE INDEX cf_refresh_tokens_live_idx ON cf_refresh_tokens (user_id, id) WHERE rotated_at IS NULL AND revoked_at IS NULL;
