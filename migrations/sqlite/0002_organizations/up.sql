-- A tenant. The name prefix filter compares `name_normalized`.
CREATE TABLE cf_organizations (
    id blob NOT NULL CONSTRAINT cf_organizations_pkey PRIMARY KEY,
    revision integer NOT NULL,
    name text NOT NULL,
    name_normalized text NOT NULL,
    slug text NOT NULL,
    logo_url text,
    plan text NOT NULL
        CONSTRAINT cf_organizations_plan_check CHECK (plan IN ('free', 'starter', 'pro', 'enterprise')),
    settings text NOT NULL,
    state text NOT NULL CONSTRAINT cf_organizations_state_check CHECK (state IN ('active', 'suspended')),
    deleted_at integer,
    created_at integer NOT NULL,
    updated_at integer NOT NULL
) STRICT;

-- Uniqueness and GetOrganizationBySlug.
CREATE UNIQUE INDEX cf_organizations_slug_key ON cf_organizations (slug) WHERE deleted_at IS NULL;
-- ListOrganizations in order of name, by plan, by state, and of deleted organizations.
CREATE INDEX cf_organizations_name_idx ON cf_organizations (name_normalized, id) WHERE deleted_at IS NULL;
CREATE INDEX cf_organizations_plan_idx ON cf_organizations (plan, id) WHERE deleted_at IS NULL;
CREATE INDEX cf_organizations_state_idx ON cf_organizations (state, id) WHERE deleted_at IS NULL;
CREATE INDEX cf_organizations_deleted_idx ON cf_organizations (id) WHERE deleted_at IS NOT NULL;
