UPDATE cf_events SET action = 'refresh_token.created', resource_type = 'refresh_token' WHERE action = 'session.created';
UPDATE cf_events SET action = 'refresh_token.rotated', resource_type = 'refresh_token' WHERE action = 'session.refreshed';
UPDATE cf_events SET action = 'refresh_token.revoked', resource_type = 'refresh_token' WHERE action = 'session.revoked';
UPDATE cf_events SET action = 'refresh_token.reused', resource_type = 'refresh_token' WHERE action = 'session.reused';
DROP TABLE cf_sessions;
CREATE TABLE cf_refresh_tokens (
    id uuid NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    generation bigint NOT NULL,
    secret_sealed bytea NOT NULL,
    by_password boolean NOT NULL,
    user_agent text,
    ip_address text,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL,
    sweep_at timestamptz NOT NULL,
    rotated_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text
        CONSTRAINT cf_refresh_tokens_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    organization_id uuid,
    api_key_id uuid
) WITH (fillfactor = 80);
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, id);
CREATE INDEX cf_refresh_tokens_organization_idx ON cf_refresh_tokens (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_sweep_idx ON cf_refresh_tokens (sweep_at);
