ALTER TABLE cf_roles DROP COLUMN display_name;
