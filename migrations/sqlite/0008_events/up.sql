-- The events. Rows are only appended, and deleted oldest first when their retention has passed. Personal data is only in `details`.
CREATE TABLE cf_events (
    -- The order of all events. On SQLite one transaction writes at a time, so it is the commit order.
    sequence integer NOT NULL CONSTRAINT cf_events_pkey PRIMARY KEY AUTOINCREMENT,
    id blob NOT NULL CONSTRAINT cf_events_id_key UNIQUE,
    created_at integer NOT NULL,
    action text NOT NULL,
    actor_kind text NOT NULL
        CONSTRAINT cf_events_actor_kind_check CHECK (actor_kind IN ('system', 'user', 'organization', 'platform_admin')),
    actor_user_id blob,
    actor_organization_id blob,
    actor_api_key_id blob,
    organization_id blob,
    user_id blob,
    resource_type text,
    resource_id blob,
    revision integer NOT NULL,
    -- Everything else, as an encoded message.
    details blob NOT NULL
) STRICT;

-- ListEvents, by each of its filters.
CREATE INDEX cf_events_organization_idx ON cf_events (organization_id, id) WHERE organization_id IS NOT NULL;
CREATE INDEX cf_events_user_idx ON cf_events (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX cf_events_resource_idx ON cf_events (resource_id, id) WHERE resource_id IS NOT NULL;
CREATE INDEX cf_events_actor_user_idx ON cf_events (actor_user_id, id) WHERE actor_user_id IS NOT NULL;
CREATE INDEX cf_events_actor_api_key_idx ON cf_events (actor_api_key_id, id) WHERE actor_api_key_id IS NOT NULL;
CREATE INDEX cf_events_action_idx ON cf_events (action, id);

-- The last deleted event; one row. A cursor before it has missed events.
CREATE TABLE cf_event_floor (
    sequence integer NOT NULL CONSTRAINT cf_event_floor_pkey PRIMARY KEY
) STRICT;

INSERT INTO cf_event_floor (sequence) VALUES (0);
