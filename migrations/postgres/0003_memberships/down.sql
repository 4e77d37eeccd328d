DROP TABLE cf_memberships;
