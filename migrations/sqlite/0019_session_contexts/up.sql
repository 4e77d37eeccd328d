-- The organization that a session is for, and the API key that started it.
ALTER TABLE cf_refresh_tokens ADD COLUMN organization_id blob;
ALTER TABLE cf_refresh_tokens ADD COLUMN api_key_id blob;
-- A request with an access token is remembered for its session.
ALTER TABLE cf_remembered_answers RENAME COLUMN api_key_id TO credential_id;
