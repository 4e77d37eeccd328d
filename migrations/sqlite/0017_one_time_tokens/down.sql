DROP TABLE cf_one_time_tokens;
