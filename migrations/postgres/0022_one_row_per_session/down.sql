DROP TABLE cf_refresh_tokens;
CREATE TABLE cf_refresh_tokens (
    id uuid NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    family_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    parent_id uuid,
    user_agent text,
    ip_address text,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    successor_sealed bytea,
    revoked_at timestamptz,
    revoked_reason text
        CONSTRAINT cf_refresh_tokens_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    organization_id uuid,
    api_key_id uuid
);

CREATE INDEX cf_refresh_tokens_user_family_idx ON cf_refresh_tokens (user_id, family_id);
CREATE INDEX cf_refresh_tokens_live_idx ON cf_refresh_tokens (user_id, id) WHERE rotated_at IS NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_expiry_idx ON cf_refresh_tokens (expires_at) WHERE rotated_at IS NULL;
