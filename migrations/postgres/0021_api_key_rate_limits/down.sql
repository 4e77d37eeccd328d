ALTER TABLE cf_api_keys DROP COLUMN rate_limit;
