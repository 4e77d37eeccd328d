DROP INDEX cf_users_external_id_key;
CREATE UNIQUE INDEX cf_users_external_id_key ON cf_users (external_id) WHERE deleted_at IS NULL;
DROP INDEX cf_organizations_plan_state_idx;
DROP INDEX cf_organizations_deleted_name_idx;
DROP INDEX cf_users_deleted_email_idx;
DROP INDEX cf_memberships_email_idx;
ALTER TABLE cf_memberships DROP COLUMN user_email;
