ALTER TABLE cf_invitations DROP COLUMN session_id;
