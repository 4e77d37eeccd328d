DROP INDEX cf_users_external_id_key;
ALTER TABLE cf_users DROP COLUMN external_id;
