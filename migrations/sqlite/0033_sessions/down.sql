UPDATE cf_events SET action = 'refresh_token.created', resource_type = 'refresh_token' WHERE action = 'session.created';
UPDATE cf_events SET action = 'refresh_token.rotated', resource_type = 'refresh_token' WHERE action = 'session.refreshed';
UPDATE cf_events SET action = 'refresh_token.revoked', resource_type = 'refresh_token' WHERE action = 'session.revoked';
UPDATE cf_events SET action = 'refresh_token.reused', resource_type = 'refresh_token' WHERE action = 'session.reused';
DROP TABLE cf_sessions;
CREATE TABLE cf_refresh_tokens (
    id blob NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    generation integer NOT NULL,
    secret_sealed blob NOT NULL,
    by_password integer NOT NULL,
    user_agent text,
    ip_address text,
    expires_at integer NOT NULL,
    family_expires_at integer NOT NULL,
    sweep_at integer NOT NULL,
    rotated_at integer,
    revoked_at integer,
    revoked_reason text
        CONSTRAINT cf_refresh_tokens_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    organization_id blob,
    api_key_id blob
) STRICT;
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, id);
CREATE INDEX cf_refresh_tokens_organization_idx ON cf_refresh_tokens (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_sweep_idx ON cf_refresh_tokens (sweep_at);
