ALTER TABLE cf_organizations DROP COLUMN accountable_user_id;
