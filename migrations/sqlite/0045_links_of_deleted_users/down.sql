CREATE TABLE cf_oauth_accounts_new (
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
-- Links of users who are not deleted first: of two links to one account, theirs stays.
INSERT OR IGNORE INTO cf_oauth_accounts_new
SELECT id, revision, user_id, provider, provider_user_id, email, scopes, access_token, refresh_token, token_expires_at, created_at,
    updated_at
FROM cf_oauth_accounts ORDER BY user_deleted_at IS NOT NULL, id;
DROP TABLE cf_oauth_accounts;
ALTER TABLE cf_oauth_accounts_new RENAME TO cf_oauth_accounts;
CREATE INDEX cf_oauth_accounts_user_idx ON cf_oauth_accounts (user_id, id);
