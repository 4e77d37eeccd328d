DROP TABLE cf_metadata_entries;
ALTER TABLE cf_memberships DROP COLUMN private_metadata;
ALTER TABLE cf_memberships DROP COLUMN metadata;
ALTER TABLE cf_organizations DROP COLUMN private_metadata;
ALTER TABLE cf_users DROP COLUMN private_metadata;
