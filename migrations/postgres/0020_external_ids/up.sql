-- What names a user where it came from.
ALTER TABLE cf_users ADD COLUMN external_id text COLLATE "C";
CREATE UNIQUE INDEX cf_users_external_id_key ON cf_users (external_id) WHERE deleted_at IS NULL;
