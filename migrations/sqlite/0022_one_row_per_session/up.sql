-- A session is one row, however often it is refreshed: ending it is one write, and so is a refresh. Its tokens are derived from its own
-- secret and not stored. Earlier sessions, whose tokens were rows, end with this migration.
DROP TABLE cf_refresh_tokens;
CREATE TABLE cf_refresh_tokens (
    id blob NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    -- The generation of the current token. Tokens of earlier generations are spent.
    generation integer NOT NULL,
    -- The secret that the tokens are derived from, sealed.
    secret_sealed blob NOT NULL,
    -- Whether it was started with the user's password.
    by_password integer NOT NULL,
    user_agent text,
    ip_address text,
    expires_at integer NOT NULL,
    family_expires_at integer NOT NULL,
    -- The end of the day of expires_at. It changes only once a day, and so does its index.
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

-- All sessions of a user, live or ended: there are few of either.
CREATE INDEX cf_refresh_tokens_user_idx ON cf_refresh_tokens (user_id, id);
-- Sessions of an organization, which end with it.
CREATE INDEX cf_refresh_tokens_organization_idx ON cf_refresh_tokens (organization_id, id)
    WHERE organization_id IS NOT NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_sweep_idx ON cf_refresh_tokens (sweep_at);
