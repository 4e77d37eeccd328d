-- The secret before the last rotation, which stays valid for a while alongside the new one.
ALTER TABLE cf_api_keys ADD COLUMN former_prefix text COLLATE "C";
ALTER TABLE cf_api_keys ADD COLUMN former_secret_hash bytea;
ALTER TABLE cf_api_keys ADD COLUMN former_created_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN former_expires_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN former_last_used_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN rotated_at timestamptz;
-- Addresses that may use the key; empty for any.
ALTER TABLE cf_api_keys ADD COLUMN allowed_ip_ranges jsonb NOT NULL DEFAULT '[]';

-- A presented key is found by the prefix of either secret.
CREATE UNIQUE INDEX cf_api_keys_former_prefix_key ON cf_api_keys (former_prefix);
