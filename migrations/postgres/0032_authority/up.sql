-- Created by a platform admin for someone else: tenants do not see by whom.
ALTER TABLE cf_api_keys ADD COLUMN by_platform boolean NOT NULL DEFAULT false;
ALTER TABLE cf_invitations ADD COLUMN by_platform boolean NOT NULL DEFAULT false;
-- ListMemberships of a user, in order of id.
CREATE INDEX cf_memberships_user_idx ON cf_memberships (user_id, id);
