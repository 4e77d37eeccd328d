DROP INDEX cf_memberships_user_idx;
ALTER TABLE cf_invitations DROP COLUMN by_platform;
ALTER TABLE cf_api_keys DROP COLUMN by_platform;
