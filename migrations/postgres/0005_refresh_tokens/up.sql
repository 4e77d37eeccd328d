-- One rotation step of one session. `family_id` is the id of the family's first row, which is locked to serialise a family.
CREATE TABLE cf_refresh_tokens (
    id uuid NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    family_id uuid NOT NULL,
    token_hash bytea NOT NULL CONSTRAINT cf_refresh_tokens_token_hash_key UNIQUE,
    -- Unique, so that a token can never have two successors, whatever the code does.
    parent_id uuid CONSTRAINT cf_refresh_tokens_parent_id_key UNIQUE,
    user_agent text,
    ip_address text,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL,
    rotated_at timestamptz,
    -- The successor's secret, sealed. Kept only while a rotation grace period may return it again.
    successor_sealed bytea,
    revoked_at timestamptz,
    revoked_reason text
        CONSTRAINT cf_refresh_tokens_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Revoking a family.
CREATE INDEX cf_refresh_tokens_family_idx ON cf_refresh_tokens (family_id);
-- The live sessions of a user.
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, revoked_at, rotated_at, id);
