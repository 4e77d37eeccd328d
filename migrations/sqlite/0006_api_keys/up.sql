-- A credential for a machine, owned by exactly one organization or exactly one user.
CREATE TABLE cf_api_keys (
    id blob NOT NULL CONSTRAINT cf_api_keys_pkey PRIMARY KEY,
    revision integer NOT NULL,
    organization_id blob
        CONSTRAINT cf_api_keys_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    user_id blob
        CONSTRAINT cf_api_keys_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    created_by blob
        CONSTRAINT cf_api_keys_created_by_fkey REFERENCES cf_users (id) ON DELETE SET NULL,
    name text NOT NULL,
    prefix text NOT NULL CONSTRAINT cf_api_keys_prefix_key UNIQUE,
    secret_hash blob NOT NULL,
    scopes text NOT NULL,
    environment text NOT NULL CONSTRAINT cf_api_keys_environment_check CHECK (environment IN ('live', 'test')),
    metadata text NOT NULL,
    expires_at integer,
    last_used_at integer,
    revoked_at integer,
    revoked_reason text,
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    CONSTRAINT cf_api_keys_owner_check CHECK ((organization_id IS NULL) <> (user_id IS NULL))
) STRICT;

-- ListApiKeys of an organization, and of a user.
CREATE INDEX cf_api_keys_organization_idx ON cf_api_keys (organization_id, id);
CREATE INDEX cf_api_keys_user_idx ON cf_api_keys (user_id, id);
-- Erasure of a user who created keys for others.
CREATE INDEX cf_api_keys_created_by_idx ON cf_api_keys (created_by);
