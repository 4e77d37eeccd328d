DROP TABLE cf_sealing_keys;
