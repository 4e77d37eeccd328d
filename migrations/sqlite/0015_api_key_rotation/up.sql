-- The secret before the last rotation, which stays valid for a while alongside the new one.
ALTER TABLE cf_api_keys ADD COLUMN former_prefix text;
ALTER TABLE cf_api_keys ADD COLUMN former_secret_hash blob;
ALTER TABLE cf_api_keys ADD COLUMN former_created_at integer;
ALTER TABLE cf_api_keys ADD COLUMN former_expires_at integer;
ALTER TABLE cf_api_keys ADD COLUMN former_last_used_at integer;
ALTER TABLE cf_api_keys ADD COLUMN rotated_at integer;
-- Addresses that may use the key; empty for any.
ALTER TABLE cf_api_keys ADD COLUMN allowed_ip_ranges text NOT NULL DEFAULT '[]';

-- A presented key is found by the prefix of either secret.
CREATE UNIQUE INDEX cf_api_keys_former_prefix_key ON cf_api_keys (former_prefix);
