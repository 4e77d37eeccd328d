-- An organization's custom roles. The built-in roles are in the code.
CREATE TABLE cf_roles (
    id uuid NOT NULL CONSTRAINT cf_roles_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    organization_id uuid NOT NULL
        CONSTRAINT cf_roles_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    description text,
    permissions jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT cf_roles_organization_id_name_key UNIQUE (organization_id, name)
);

-- ListRoles of an organization.
CREATE INDEX cf_roles_organization_idx ON cf_roles (organization_id, id);
