-- Plans are the deployment's, so the column accepts any. SQLite drops a CHECK only along with its column.
DROP INDEX cf_organizations_plan_state_idx;
DROP INDEX cf_organizations_plan_idx;
ALTER TABLE cf_organizations ADD COLUMN any_plan text COLLATE "C" NOT NULL DEFAULT '';
UPDATE cf_organizations SET any_plan = plan;
ALTER TABLE cf_organizations DROP COLUMN plan;
ALTER TABLE cf_organizations RENAME COLUMN any_plan TO plan;
CREATE INDEX cf_organizations_plan_idx ON cf_organizations (plan, id) WHERE deleted_at IS NULL;
CREATE INDEX cf_organizations_plan_state_idx ON cf_organizations (plan, state, id) WHERE deleted_at IS NULL;
