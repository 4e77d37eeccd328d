DROP INDEX cf_refresh_tokens_live_idx;
DROP INDEX cf_refresh_tokens_user_family_idx;
CREATE INDEX cf_refresh_tokens_family_idx ON cf_refresh_tokens (family_id);
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, revoked_at, rotated_at, id);
