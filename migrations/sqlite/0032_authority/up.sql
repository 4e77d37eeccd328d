-- Created by a platform admin for someone else: tenants do not see by whom.
ALTER TABLE cf_api_keys ADD COLUMN by_platform integer NOT NULL DEFAULT 0;
ALTER TABLE cf_invitations ADD COLUMN by_platform integer NOT NULL DEFAULT 0;
-- ListMemberships of a user, in order of id.
CREATE INDEX cf_memberships_user_idx ON cf_memberships (user_id, id);
