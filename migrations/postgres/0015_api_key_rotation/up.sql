-- The secret before the last rotation, which works for a while beside the one after it.
ALTER TABLE cf_api_keys ADD COLUMN former_prefix text COLLATE "C";
ALTER TABLE cf_api_keys ADD COLUMN former_secret_hash bytea;
ALTER TABLE cf_api_keys ADD COLUMN former_created_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN former_expires_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN former_last_used_at timestamptz;
ALTER TABLE cf_api_keys ADD COLUMN rotated_at timestamptz;
-- From where the key may be used; empty for anywhere.
ALTER TABLE cf_api_keys ADD COLUMN allowed_ip_ranges jsonb NOT NULL DEFAULT '[]';

-- A presented key is found by either of its beginnings.
CREATE UNIQUE INDEX cf_api_keys_former_prefix_key ON cf_api_keys (former_prefix);
