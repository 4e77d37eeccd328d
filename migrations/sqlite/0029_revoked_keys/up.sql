-- An owner keeps a limited number of revoked keys. Finds the excess ones, oldest revocation first.
CREATE INDEX cf_api_keys_user_revoked_idx ON cf_api_keys (user_id, revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX cf_api_keys_organization_revoked_idx ON cf_api_keys (organization_id, revoked_at) WHERE revoked_at IS NOT NULL;
