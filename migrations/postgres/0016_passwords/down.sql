ALTER TABLE cf_users ADD COLUMN password_hash text;
DROP TABLE cf_sign_in_failures;
DROP TABLE cf_passwords;
