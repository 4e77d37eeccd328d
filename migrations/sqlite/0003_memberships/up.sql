-- One user in one organization with one role.
CREATE TABLE cf_memberships (
    id blob NOT NULL CONSTRAINT cf_memberships_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_memberships_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    organization_id blob NOT NULL
        CONSTRAINT cf_memberships_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    role text NOT NULL,
    permissions text NOT NULL,
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    CONSTRAINT cf_memberships_user_id_organization_id_key UNIQUE (user_id, organization_id)
) STRICT;

-- ListUsers of an organization, in order of user id.
CREATE INDEX cf_memberships_organization_user_idx ON cf_memberships (organization_id, user_id);
-- ListMemberships of an organization.
CREATE INDEX cf_memberships_organization_idx ON cf_memberships (organization_id, id);
-- ListMemberships by role, and the owners of an organization.
CREATE INDEX cf_memberships_role_idx ON cf_memberships (organization_id, role, id);
