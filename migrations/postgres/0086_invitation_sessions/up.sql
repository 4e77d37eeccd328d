-- The session whose access token sent an invitation. When all sessions of a user are ended, such invitations end too.
ALTER TABLE cf_invitations ADD COLUMN session_id uuid;
