-- What members of an organization are searched, filtered and sorted by: copies of their users' data, written in the transaction that changes
-- them. Rows from before are folded by the database, which may leave accents, until the user's name or address changes.
ALTER TABLE cf_memberships ADD COLUMN user_search text NOT NULL DEFAULT '';
ALTER TABLE cf_memberships ADD COLUMN user_state text NOT NULL DEFAULT 'active';
UPDATE cf_memberships SET
    user_search = (
        SELECT lower(cf_users.name || char(10) || cf_users.email_normalized) FROM cf_users WHERE cf_users.id = cf_memberships.user_id
    ),
    user_state = (
        SELECT CASE WHEN deleted_at IS NULL THEN state ELSE 'deleted' END FROM cf_users WHERE cf_users.id = cf_memberships.user_id
    );
-- ListMembers in order of name.
CREATE INDEX cf_memberships_name_idx ON cf_memberships (organization_id, user_search, id);
-- ListMembers by state, and CountMembers.
CREATE INDEX cf_memberships_state_idx ON cf_memberships (organization_id, user_state, id);
-- With the state, so that the members of a role are counted in the index.
DROP INDEX cf_memberships_role_idx;
CREATE INDEX cf_memberships_role_idx ON cf_memberships (organization_id, role, id, user_state);

-- The folded name.
ALTER TABLE cf_api_keys ADD COLUMN name_search text NOT NULL DEFAULT '';
UPDATE cf_api_keys SET name_search = lower(name);
