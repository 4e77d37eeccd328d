DROP TABLE cf_oauth_accounts;
