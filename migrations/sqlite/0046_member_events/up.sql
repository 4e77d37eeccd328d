-- Which organizations see an event of a user: those that the user was a member of when it happened.
CREATE TABLE cf_member_events (
    organization_id blob NOT NULL,
    event_id blob NOT NULL,
    CONSTRAINT cf_member_events_pkey PRIMARY KEY (organization_id, event_id)
) STRICT, WITHOUT ROWID;

-- Deletion together with the event.
CREATE INDEX cf_member_events_event_idx ON cf_member_events (event_id);
