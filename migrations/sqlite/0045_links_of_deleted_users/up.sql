-- The links of a deleted user do not block others: like its e-mail and external id, they are unique only among users who are not
-- deleted. `user_deleted_at` is the user's `deleted_at`, written in the transaction that changes it.
-- SQLite cannot drop a constraint, so the table is recreated.
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
    user_deleted_at integer
) STRICT;
INSERT INTO cf_oauth_accounts_new
SELECT a.*, (SELECT deleted_at FROM cf_users WHERE cf_users.id = a.user_id) FROM cf_oauth_accounts a ORDER BY a.rowid;
DROP TABLE cf_oauth_accounts;
ALTER TABLE cf_oauth_accounts_new RENAME TO cf_oauth_accounts;

-- ListOauthAccounts of a user.
CREATE INDEX cf_oauth_accounts_user_idx ON cf_oauth_accounts (user_id, id);
-- Uniqueness and GetOauthAccountByProvider.
CREATE UNIQUE INDEX cf_oauth_accounts_provider_key ON cf_oauth_accounts (provider, provider_user_id)
    WHERE user_deleted_at IS NULL;
