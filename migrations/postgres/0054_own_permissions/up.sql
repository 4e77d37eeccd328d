-- ListPrincipalsWithPermission: memberships with permissions of their own, which are few.
CREATE INDEX cf_memberships_own_permissions_idx ON cf_memberships (organization_id, id) WHERE permissions <> '[]';
