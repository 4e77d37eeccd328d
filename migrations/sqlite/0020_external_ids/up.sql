-- The id of a user in the system that it was imported from.
ALTER TABLE cf_users ADD COLUMN external_id text;
CREATE UNIQUE INDEX cf_users_external_id_key ON cf_users (external_id) WHERE deleted_at IS NULL;
