DROP TABLE cf_event_floor;
DROP TABLE cf_events;
