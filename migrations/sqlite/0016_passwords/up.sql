-- What users prove themselves with. Apart from the users: whoever reads a user does not read a hash.
CREATE TABLE cf_passwords (
    user_id blob NOT NULL CONSTRAINT cf_passwords_pkey PRIMARY KEY
        CONSTRAINT cf_passwords_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    -- Made elsewhere: of the password as it was typed, not of its normal form.
    is_imported integer NOT NULL,
    changed_at integer NOT NULL
) STRICT;

-- Wrong passwords in a row: of a user who has a password, by source.
CREATE TABLE cf_sign_in_failures (
    account_id blob NOT NULL,
    -- An address from which the user has a session, or empty for all others.
    source text NOT NULL,
    failures integer NOT NULL,
    last_failed_at integer NOT NULL,
    CONSTRAINT cf_sign_in_failures_pkey PRIMARY KEY (account_id, source)
) STRICT;

-- Those who are no users, so that for them a row is written as for a user: UUIDs that are none, 0 to 1023.
INSERT INTO cf_sign_in_failures (account_id, source, failures, last_failed_at)
WITH RECURSIVE decoys (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM decoys WHERE number < 1023)
SELECT unhex(printf('%032x', number)), '', 0, 0 FROM decoys;

ALTER TABLE cf_users DROP COLUMN password_hash;
