ALTER TABLE cf_invitations DROP COLUMN api_key_id;
DROP INDEX cf_api_keys_source_user_id_idx;
ALTER TABLE cf_api_keys DROP COLUMN source_user_id;
