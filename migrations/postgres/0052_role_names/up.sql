-- The name of a role to show people.
ALTER TABLE cf_roles ADD COLUMN display_name text;
