-- What a session is bound to: the organization that it is for, and the API key that it was begun with.
ALTER TABLE cf_refresh_tokens ADD COLUMN organization_id blob;
ALTER TABLE cf_refresh_tokens ADD COLUMN api_key_id blob;
-- A request can also come with an access token: then it is remembered for the session.
ALTER TABLE cf_remembered_answers RENAME COLUMN api_key_id TO credential_id;
