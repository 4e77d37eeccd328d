-- The address that an event about an invitation names, as a digest: what leads from a person to the events of its invitations. Erased
-- along with the address itself.
ALTER TABLE cf_events ADD COLUMN address uuid;
CREATE INDEX cf_events_address_idx ON cf_events (address, id) WHERE address IS NOT NULL;

-- What is still to be erased of a person: one row for each index that leads to it. A row is stored in the transaction that purges the
-- user, and removed once nothing of the person can be found by that index any more.
CREATE TABLE cf_erasures (
    user_id uuid NOT NULL,
    trace text NOT NULL
        CONSTRAINT cf_erasures_trace_check CHECK (trace IN ('about', 'by', 'address', 'organization', 'answers', 'search')),
    -- The user, the digest of an address, or the organization.
    subject uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    -- When to continue.
    due_at timestamptz NOT NULL,
    -- The last event that was looked at.
    reached uuid,
    CONSTRAINT cf_erasures_pkey PRIMARY KEY (user_id, trace, subject)
);
CREATE INDEX cf_erasures_due_at_idx ON cf_erasures (due_at);

-- The persons whose data a remembered answer holds.
CREATE TABLE cf_answer_persons (
    credential_id uuid NOT NULL,
    request_id uuid NOT NULL,
    -- A user, or the digest of an address.
    person uuid NOT NULL,
    CONSTRAINT cf_answer_persons_pkey PRIMARY KEY (credential_id, request_id, person),
    CONSTRAINT cf_answer_persons_answer_fkey FOREIGN KEY (credential_id, request_id)
        REFERENCES cf_remembered_answers (credential_id, request_id) ON DELETE CASCADE
);
CREATE INDEX cf_answer_persons_person_idx ON cf_answer_persons (person);

-- The invitations that a user sent, in order.
DROP INDEX cf_invitations_invited_by_idx;
CREATE INDEX cf_invitations_invited_by_idx ON cf_invitations (invited_by, id);
