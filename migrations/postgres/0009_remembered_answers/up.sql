-- The answers to requests with a `request_id`, so that a repeated request gets the first answer. The row is inserted when the work
-- begins and filled when it ends, in the same transaction.
CREATE TABLE cf_remembered_answers (
    -- The presented API key: an answer may contain data that another key of the same owner must not see.
    api_key_id uuid NOT NULL,
    request_id uuid NOT NULL,
    -- The fingerprint of the request and the answer, sealed.
    answer bytea,
    created_at timestamptz NOT NULL,
    CONSTRAINT cf_remembered_answers_pkey PRIMARY KEY (api_key_id, request_id)
);

-- The sweep.
CREATE INDEX cf_remembered_answers_created_at_idx ON cf_remembered_answers (created_at);
