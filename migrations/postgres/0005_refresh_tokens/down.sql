DROP TABLE cf_refresh_tokens;
