DROP TABLE cf_member_events;
