ALTER TABLE cf_one_time_tokens DROP COLUMN plaintext_sealed;
