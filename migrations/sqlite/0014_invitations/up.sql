-- Pending invitations. Accepted, declined and revoked ones are deleted.
CREATE TABLE cf_invitations (
    id blob NOT NULL CONSTRAINT cf_invitations_pkey PRIMARY KEY,
    revision integer NOT NULL,
    organization_id blob NOT NULL
        CONSTRAINT cf_invitations_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    email text NOT NULL,
    email_normalized text NOT NULL,
    role text NOT NULL,
    message text,
    token_hash blob NOT NULL,
    invited_by blob
        CONSTRAINT cf_invitations_invited_by_fkey REFERENCES cf_users (id) ON DELETE SET NULL,
    expires_at integer NOT NULL,
    created_at integer NOT NULL,
    updated_at integer NOT NULL,
    CONSTRAINT cf_invitations_organization_id_email_key UNIQUE (organization_id, email_normalized)
) STRICT;

-- ListInvitations of an organization.
CREATE INDEX cf_invitations_organization_idx ON cf_invitations (organization_id, id);
-- ListInvitations of an e-mail address.
CREATE INDEX cf_invitations_email_idx ON cf_invitations (email_normalized, id);
-- Erasure of a user.
CREATE INDEX cf_invitations_invited_by_idx ON cf_invitations (invited_by);
-- The sweep.
CREATE INDEX cf_invitations_expires_at_idx ON cf_invitations (expires_at);
