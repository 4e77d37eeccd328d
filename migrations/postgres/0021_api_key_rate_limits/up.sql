-- Calls per second of a key; 0 for the server's limit.
ALTER TABLE cf_api_keys ADD COLUMN rate_limit bigint NOT NULL DEFAULT 0 CHECK (rate_limit BETWEEN 0 AND 1000000);
