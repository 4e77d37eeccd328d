-- A session has one name everywhere. Its secret is sealed for its place, which has the name of the table, so that the sessions from
-- before end here.
-- Space is left in each page for the versions of its rows: a refresh then stays in the page, and writes to no index.
DROP TABLE cf_refresh_tokens;
CREATE TABLE cf_sessions (
    id uuid NOT NULL CONSTRAINT cf_sessions_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_sessions_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    -- Of the current token. Those of smaller generations are spent.
    generation bigint NOT NULL,
    -- What the tokens are made with, sealed.
    secret_sealed bytea NOT NULL,
    -- Whether it began with the user's password.
    by_password boolean NOT NULL,
    user_agent text,
    ip_address text,
    expires_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    -- The end of the day of expires_at. It changes once a day, and so does the index of it.
    sweep_at timestamptz NOT NULL,
    refreshed_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text
        CONSTRAINT cf_sessions_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    organization_id uuid,
    api_key_id uuid
) WITH (fillfactor = 80);

-- The sessions of a user, whether they go on or not: neither kind is many.
CREATE INDEX cf_sessions_user_idx ON cf_sessions (user_id, id);
-- The sessions that end with an organization.
CREATE INDEX cf_sessions_organization_idx ON cf_sessions (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_sessions_sweep_idx ON cf_sessions (sweep_at);

UPDATE cf_events SET action = 'session.created', resource_type = 'session' WHERE action = 'refresh_token.created';
UPDATE cf_events SET action = 'session.refreshed', resource_type = 'session' WHERE action = 'refresh_token.rotated';
UPDATE cf_events SET action = 'session.revoked', resource_type = 'session' WHERE action = 'refresh_token.revoked';
UPDATE cf_events SET action = 'session.reused', resource_type = 'session' WHERE action = 'refresh_token.reused';
