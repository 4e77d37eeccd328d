ALTER TABLE cf_api_keys DROP COLUMN disabled_at;
ALTER TABLE cf_memberships DROP COLUMN state;
