DROP TABLE cf_organizations;
