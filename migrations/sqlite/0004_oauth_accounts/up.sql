-- A user's account at an external provider. The two tokens are sealed and bound to their row and column.
CREATE TABLE cf_oauth_accounts (
    id blob NOT NULL CONSTRAINT cf_oauth_accounts_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_oauth_accounts_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    provider text NOT NULL,
    provider_user_id text NOT NULL,
    email text,
    scopes text NOT NULL,
    access_token blob,
    refresh_token blob,
    token_expires_at integer,
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    CONSTRAINT cf_oauth_accounts_provider_provider_user_id_key UNIQUE (provider, provider_user_id)
) STRICT;

-- ListOauthAccounts of a user.
CREATE INDEX cf_oauth_accounts_user_idx ON cf_oauth_accounts (user_id, id);
