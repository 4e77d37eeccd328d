-- The index of search by a part of a name, an e-mail address or a slug. `kind` is 1 for users and 2 for organizations. See
-- docs/decisions/0055-search.md.

-- What is not in the index yet, or has changed since. Written in the transaction of the change. `changes` counts them, so that a change
-- locks the row.
CREATE TABLE cf_search_pending (
    kind integer NOT NULL,
    id blob NOT NULL,
    changes integer NOT NULL,
    CONSTRAINT cf_search_pending_pkey PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- A segment has the members from `first_id` up to that of the next segment.
CREATE TABLE cf_search_segments (
    kind integer NOT NULL,
    segment integer NOT NULL,
    first_id blob NOT NULL,
    last_id blob NOT NULL,
    size integer NOT NULL,
    CONSTRAINT cf_search_segments_pkey PRIMARY KEY (kind, segment)
) STRICT, WITHOUT ROWID;
CREATE INDEX cf_search_segments_first_idx ON cf_search_segments (kind, first_id);
CREATE INDEX cf_search_segments_last_idx ON cf_search_segments (kind, last_id);
INSERT INTO cf_search_segments (kind, segment, first_id, last_id, size)
VALUES (1, 0, zeroblob(16), zeroblob(16), 0), (2, 0, zeroblob(16), zeroblob(16), 0);

-- The ids of a segment's members, 32 in a row: 2,048 rows for each segment.
CREATE TABLE cf_search_members (
    kind integer NOT NULL,
    chunk integer NOT NULL,
    ids blob NOT NULL,
    CONSTRAINT cf_search_members_pkey PRIMARY KEY (kind, chunk)
) STRICT, WITHOUT ROWID;

-- The places of the members that have a gram, for all grams of a bucket.
CREATE TABLE cf_search_postings (
    kind integer NOT NULL,
    segment integer NOT NULL,
    bucket integer NOT NULL,
    postings blob NOT NULL,
    CONSTRAINT cf_search_postings_pkey PRIMARY KEY (kind, segment, bucket)
) STRICT, WITHOUT ROWID;

INSERT INTO cf_search_pending (kind, id, changes) SELECT 1, id, 0 FROM cf_users;
INSERT INTO cf_search_pending (kind, id, changes) SELECT 2, id, 0 FROM cf_organizations;
