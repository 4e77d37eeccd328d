-- The member's normalised e-mail, written in the transaction that changes the user's.
ALTER TABLE cf_memberships ADD COLUMN user_email text COLLATE "C" NOT NULL DEFAULT '';
UPDATE cf_memberships SET user_email = (SELECT email_normalized FROM cf_users WHERE cf_users.id = cf_memberships.user_id);
-- ListUsers of an organization by e-mail prefix.
CREATE INDEX cf_memberships_email_idx ON cf_memberships (organization_id, user_email, user_id);

-- ListUsers and ListOrganizations of deleted rows by prefix.
CREATE INDEX cf_users_deleted_email_idx ON cf_users (email_normalized, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX cf_organizations_deleted_name_idx ON cf_organizations (name_normalized, id) WHERE deleted_at IS NOT NULL;
-- ListOrganizations by plan and state.
CREATE INDEX cf_organizations_plan_state_idx ON cf_organizations (plan, state, id) WHERE deleted_at IS NULL;

-- Partial, since most users have no external id.
DROP INDEX cf_users_external_id_key;
CREATE UNIQUE INDEX cf_users_external_id_key ON cf_users (external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL;
