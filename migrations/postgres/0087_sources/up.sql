-- The user from whose account an API key descends: who created it, or created the key that created it, and so on.
ALTER TABLE cf_api_keys ADD COLUMN source_user_id uuid
    CONSTRAINT cf_api_keys_source_user_id_fkey REFERENCES cf_users (id) ON DELETE SET NULL;
UPDATE cf_api_keys SET source_user_id = created_by WHERE NOT by_platform;
CREATE INDEX cf_api_keys_source_user_id_idx ON cf_api_keys (source_user_id);
-- The API key that sent an invitation, which cannot be accepted without it.
ALTER TABLE cf_invitations ADD COLUMN api_key_id uuid;
