-- An organization's custom roles. The built-in roles are in the code.
CREATE TABLE cf_roles (
    id blob NOT NULL CONSTRAINT cf_roles_pkey PRIMARY KEY,
    revision integer NOT NULL,
    organization_id blob NOT NULL
        CONSTRAINT cf_roles_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    permissions text NOT NULL,
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    CONSTRAINT cf_roles_organization_id_name_key UNIQUE (organization_id, name)
) STRICT;

-- ListRoles of an organization.
CREATE INDEX cf_roles_organization_idx ON cf_roles (organization_id, id);
