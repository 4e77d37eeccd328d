DROP TABLE cf_api_keys;
