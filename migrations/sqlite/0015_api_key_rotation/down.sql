DROP INDEX cf_api_keys_former_prefix_key;
ALTER TABLE cf_api_keys DROP COLUMN allowed_ip_ranges;
ALTER TABLE cf_api_keys DROP COLUMN rotated_at;
ALTER TABLE cf_api_keys DROP COLUMN former_last_used_at;
ALTER TABLE cf_api_keys DROP COLUMN former_expires_at;
ALTER TABLE cf_api_keys DROP COLUMN former_created_at;
ALTER TABLE cf_api_keys DROP COLUMN former_secret_hash;
ALTER TABLE cf_api_keys DROP COLUMN former_prefix;
