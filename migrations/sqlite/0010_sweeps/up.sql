-- For the sweep: sessions whose current token has expired, and tombstones past their restore window.
CREATE INDEX cf_refresh_tokens_expiry_idx ON cf_refresh_tokens (expires_at) WHERE rotated_at IS NULL;
CREATE INDEX cf_users_deleted_at_idx ON cf_users (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX cf_organizations_deleted_at_idx ON cf_organizations (deleted_at) WHERE deleted_at IS NOT NULL;
