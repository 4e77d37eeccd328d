DROP TABLE cf_users;
