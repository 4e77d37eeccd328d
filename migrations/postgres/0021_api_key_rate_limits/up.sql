-- How many calls a second a key may make; 0 for what the server says.
ALTER TABLE cf_api_keys ADD COLUMN rate_limit bigint NOT NULL DEFAULT 0 CHECK (rate_limit BETWEEN 0 AND 1000000);
