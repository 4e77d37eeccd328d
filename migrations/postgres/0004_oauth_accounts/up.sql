-- A user's account at an external provider. The two tokens are sealed and bound to their row and column.
CREATE TABLE cf_oauth_accounts (
    id uuid NOT NULL CONSTRAINT cf_oauth_accounts_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT cf_oauth_accounts_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    provider text COLLATE "C" NOT NULL,
    provider_user_id text COLLATE "C" NOT NULL,
    email text,
    scopes jsonb NOT NULL,
    access_token bytea,
    refresh_token bytea,
    token_expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT cf_oauth_accounts_provider_provider_user_id_key UNIQUE (provider, provider_user_id)
);

-- ListOauthAccounts of a user.
CREATE INDEX cf_oauth_accounts_user_idx ON cf_oauth_accounts (user_id, id);
