-- The links of a deleted user do not block others: like its e-mail and external id, they are unique only among users who are not
-- deleted. `user_deleted_at` is the user's `deleted_at`, written in the transaction that changes it.
ALTER TABLE cf_oauth_accounts ADD COLUMN user_deleted_at timestamptz;
UPDATE cf_oauth_accounts SET user_deleted_at = u.deleted_at
FROM cf_users u WHERE u.id = cf_oauth_accounts.user_id AND u.deleted_at IS NOT NULL;
ALTER TABLE cf_oauth_accounts DROP CONSTRAINT cf_oauth_accounts_provider_provider_user_id_key;
-- Uniqueness and GetOauthAccountByProvider.
CREATE UNIQUE INDEX cf_oauth_accounts_provider_key ON cf_oauth_accounts (provider, provider_user_id)
    WHERE user_deleted_at IS NULL;
