DROP INDEX cf_organizations_plan_state_idx;
DROP INDEX cf_organizations_plan_idx;
ALTER TABLE cf_organizations ADD COLUMN old_plan text NOT NULL DEFAULT 'free'
    CONSTRAINT cf_organizations_plan_check CHECK (old_plan IN ('free', 'starter', 'pro', 'enterprise'));
-- Other plans did not exist.
UPDATE cf_organizations SET old_plan = plan WHERE plan IN ('free', 'starter', 'pro', 'enterprise');
ALTER TABLE cf_organizations DROP COLUMN plan;
ALTER TABLE cf_organizations RENAME COLUMN old_plan TO plan;
CREATE INDEX cf_organizations_plan_idx ON cf_organizations (plan, id) WHERE deleted_at IS NULL;
CREATE INDEX cf_organizations_plan_state_idx ON cf_organizations (plan, state, id) WHERE deleted_at IS NULL;
