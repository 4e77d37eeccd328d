DROP TABLE cf_signing_keys;
