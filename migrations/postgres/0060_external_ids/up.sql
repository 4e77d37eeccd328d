-- The id of an organization in another system.
ALTER TABLE cf_organizations ADD COLUMN external_id text COLLATE "C";
CREATE UNIQUE INDEX cf_organizations_external_id_key ON cf_organizations (external_id)
    WHERE deleted_at IS NULL AND external_id IS NOT NULL;
-- The id of a membership in another system.
ALTER TABLE cf_memberships ADD COLUMN external_id text COLLATE "C";
CREATE UNIQUE INDEX cf_memberships_external_id_key ON cf_memberships (organization_id, external_id)
    WHERE external_id IS NOT NULL;
-- ListUsers and ListOrganizations of deleted rows by external id, which several of them may have had.
CREATE INDEX cf_users_deleted_external_id_idx ON cf_users (external_id, id)
    WHERE deleted_at IS NOT NULL AND external_id IS NOT NULL;
CREATE INDEX cf_organizations_deleted_external_id_idx ON cf_organizations (external_id, id)
    WHERE deleted_at IS NOT NULL AND external_id IS NOT NULL;
