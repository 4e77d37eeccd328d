-- Pending invitations. Accepted, declined and revoked ones are deleted.
CREATE TABLE cf_invitations (
    id uuid NOT NULL CONSTRAINT cf_invitations_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    organization_id uuid NOT NULL
        CONSTRAINT cf_invitations_organization_id_fkey REFERENCES cf_organizations (id) ON DELETE CASCADE,
    email text NOT NULL,
    email_normalized text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    message text,
    token_hash bytea NOT NULL,
    invited_by uuid
        CONSTRAINT cf_invitations_invited_by_fkey REFERENCES cf_users (id) ON DELETE SET NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT cf_invitations_organization_id_email_key UNIQUE (organization_id, email_normalized)
);

-- ListInvitations of an organization.
CREATE INDEX cf_invitations_organization_idx ON cf_invitations (organization_id, id);
-- ListInvitations of an e-mail address.
CREATE INDEX cf_invitations_email_idx ON cf_invitations (email_normalized, id);
-- Erasure of a user.
CREATE INDEX cf_invitations_invited_by_idx ON cf_invitations (invited_by);
-- The sweep.
CREATE INDEX cf_invitations_expires_at_idx ON cf_invitations (expires_at);
