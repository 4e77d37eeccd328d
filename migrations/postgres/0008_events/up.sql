-- The events. Rows are only appended, and deleted oldest first when their retention has passed. Personal data is only in `details`.
CREATE TABLE cf_events (
    -- The order of all events. PostgreSQL assigns a number before its commit: see `EventRepository::settled`.
    sequence bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT cf_events_pkey PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT cf_events_id_key UNIQUE,
    created_at timestamptz NOT NULL,
    action text COLLATE "C" NOT NULL,
    actor_kind text NOT NULL
        CONSTRAINT cf_events_actor_kind_check CHECK (actor_kind IN ('system', 'user', 'organization', 'platform_admin')),
    actor_user_id uuid,
    actor_organization_id uuid,
    actor_api_key_id uuid,
    organization_id uuid,
    user_id uuid,
    resource_type text,
    resource_id uuid,
    revision bigint NOT NULL,
    -- Everything else, as an encoded message.
    details bytea NOT NULL
);

-- ListEvents, by each of its filters.
CREATE INDEX cf_events_organization_idx ON cf_events (organization_id, id) WHERE organization_id IS NOT NULL;
CREATE INDEX cf_events_user_idx ON cf_events (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX cf_events_resource_idx ON cf_events (resource_id, id) WHERE resource_id IS NOT NULL;
CREATE INDEX cf_events_actor_user_idx ON cf_events (actor_user_id, id) WHERE actor_user_id IS NOT NULL;
CREATE INDEX cf_events_actor_api_key_idx ON cf_events (actor_api_key_id, id) WHERE actor_api_key_id IS NOT NULL;
CREATE INDEX cf_events_action_idx ON cf_events (action, id);

-- The last deleted event; one row. A cursor before it has missed events.
CREATE TABLE cf_event_floor (
    sequence bigint NOT NULL CONSTRAINT cf_event_floor_pkey PRIMARY KEY
);

INSERT INTO cf_event_floor (sequence) VALUES (0);
