DROP TABLE cf_roles;
