ALTER TABLE cf_api_keys DROP COLUMN name_search;
DROP INDEX cf_memberships_role_idx;
CREATE INDEX cf_memberships_role_idx ON cf_memberships (organization_id, role, id);
DROP INDEX cf_memberships_state_idx;
DROP INDEX cf_memberships_name_idx;
ALTER TABLE cf_memberships DROP COLUMN user_state;
ALTER TABLE cf_memberships DROP COLUMN user_search;
