-- The answers to requests that carried a `request_id`, so that the same request again is answered as the first time. The row is
-- taken when the work begins and filled when it ends, in one transaction with it.
CREATE TABLE cf_remembered_answers (
    -- The API key that was presented: an answer may hold what another key of the same owner must not see.
    api_key_id blob NOT NULL,
    request_id blob NOT NULL,
    -- The fingerprint of the request and the answer, sealed.
    answer blob,
    created_at integer NOT NULL,
    CONSTRAINT cf_remembered_answers_pkey PRIMARY KEY (api_key_id, request_id)
) STRICT;

-- The sweep.
CREATE INDEX cf_remembered_answers_created_at_idx ON cf_remembered_answers (created_at);
