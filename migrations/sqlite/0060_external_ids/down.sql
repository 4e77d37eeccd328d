DROP INDEX cf_organizations_deleted_external_id_idx;
DROP INDEX cf_users_deleted_external_id_idx;
DROP INDEX cf_memberships_external_id_key;
ALTER TABLE cf_memberships DROP COLUMN external_id;
DROP INDEX cf_organizations_external_id_key;
ALTER TABLE cf_organizations DROP COLUMN external_id;
