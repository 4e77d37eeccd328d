DROP INDEX cf_oauth_accounts_provider_key;
-- Of two links to one account, that of the user who is not deleted stays; of two deleted users, the older link.
DELETE FROM cf_oauth_accounts a USING cf_oauth_accounts b
WHERE a.user_deleted_at IS NOT NULL AND a.provider = b.provider AND a.provider_user_id = b.provider_user_id
    AND (b.user_deleted_at IS NULL OR b.id < a.id);
ALTER TABLE cf_oauth_accounts ADD CONSTRAINT cf_oauth_accounts_provider_provider_user_id_key UNIQUE (provider, provider_user_id);
ALTER TABLE cf_oauth_accounts DROP COLUMN user_deleted_at;
