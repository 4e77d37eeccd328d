-- A session is one row, however often it is refreshed: its end is one write, and a refresh is one. Its tokens are made with a secret of
-- its own and not stored, so that the sessions from before, whose tokens were rows, end here.
DROP TABLE cf_refresh_tokens;
CREATE TABLE cf_refresh_tokens (
    id blob NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    -- Of the current token. Those of smaller generations are spent.
    generation integer NOT NULL,
    -- What the tokens are made with, sealed.
    secret_sealed blob NOT NULL,
    -- Whether it began with the user's password.
    by_password integer NOT NULL,
    user_agent text,
    ip_address text,
    expires_at integer NOT NULL,
    family_expires_at integer NOT NULL,
    -- The end of the day of expires_at. It changes once a day, and so does the index of it.
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

-- The sessions of a user, whether they go on or not: neither kind is many.
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, id);
-- The sessions that end with an organization.
CREATE INDEX cf_refresh_tokens_organization_idx ON cf_refresh_tokens (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_sweep_idx ON cf_refresh_tokens (sweep_at);
