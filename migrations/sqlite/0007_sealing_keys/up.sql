-- The sealing keys that this database was written with, each with a value sealed under it, so that a missing or wrong key is
-- noticed at start and not at the first unreadable token.
CREATE TABLE cf_sealing_keys (
    id text NOT NULL CONSTRAINT cf_sealing_keys_pkey PRIMARY KEY,
    key_check blob NOT NULL,
    created_at integer NOT NULL
) STRICT;
