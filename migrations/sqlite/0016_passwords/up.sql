-- Password hashes. In their own table, so that reading a user never reads a hash.
CREATE TABLE cf_passwords (
    user_id blob NOT NULL CONSTRAINT cf_passwords_pkey PRIMARY KEY
        CONSTRAINT cf_passwords_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    -- The hash was imported: it covers the password as typed, not its normal form.
    is_imported integer NOT NULL,
    changed_at integer NOT NULL
) STRICT;

-- Consecutive wrong passwords of a user with a password, by source.
CREATE TABLE cf_sign_in_failures (
    account_id blob NOT NULL,
    -- An address from which the user has a session; empty for all others.
    source text NOT NULL,
    failures integer NOT NULL,
    last_failed_at integer NOT NULL,
    CONSTRAINT cf_sign_in_failures_pkey PRIMARY KEY (account_id, source)
) STRICT;

-- Decoys, so that an attempt on an unknown user writes a row too. Their ids, 0 to 1023, never occur as user ids.
INSERT INTO cf_sign_in_failures (account_id, source, failures, last_failed_at)
WITH RECURSIVE decoys (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM decoys WHERE number < 1023)
SELECT unhex(printf('%032x', number)), '', 0, 0 FROM decoys;

ALTER TABLE cf_users DROP COLUMN password_hash;
