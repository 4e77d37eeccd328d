ALTER TABLE cf_remembered_answers RENAME COLUMN credential_id TO api_key_id;
ALTER TABLE cf_refresh_tokens DROP COLUMN api_key_id;
ALTER TABLE cf_refresh_tokens DROP COLUMN organization_id;
