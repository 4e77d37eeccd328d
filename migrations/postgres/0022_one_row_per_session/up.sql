-- A session is one row, however often it is refreshed: its end is one write, and a refresh is one. Its tokens are made with a secret of
-- its own and not stored, so that the sessions from before, whose tokens were rows, end here.
-- Space is left in each page for the versions of its rows: a refresh then stays in the page, and writes to no index.
DROP TABLE cf_refresh_tokens;
CREATE TABLE cf_refresh_tokens (
    id uuid NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    -- Of the current token. Those of smaller generations are spent.
    generation bigint NOT NULL,
    -- What the tokens are made with, sealed.
    secret_sealed bytea NOT NULL,
    -- Whether it began with the user's password.
    by_password boolean NOT NULL,
    user_agent text,
    ip_address text,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL,
    -- The end of the day of expires_at. It changes once a day, and so does the index of it.
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

-- The sessions of a user, whether they go on or not: neither kind is many.
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, id);
-- The sessions that end with an organization.
CREATE INDEX cf_refresh_tokens_organization_idx ON cf_refresh_tokens (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_sweep_idx ON cf_refresh_tokens (sweep_at);
