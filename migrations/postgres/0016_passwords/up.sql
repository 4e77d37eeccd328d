-- What users prove themselves with. Apart from the users: whoever reads a user does not read a hash.
CREATE TABLE cf_passwords (
    user_id uuid NOT NULL CONSTRAINT cf_passwords_pkey PRIMARY KEY
        CONSTRAINT cf_passwords_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    -- Made elsewhere: of the password as it was typed, not of its normal form.
    is_imported boolean NOT NULL,
    changed_at timestamptz NOT NULL
);

-- Wrong passwords in a row: of a user who has a password, by source.
CREATE TABLE cf_sign_in_failures (
    account_id uuid NOT NULL,
    -- An address from which the user has a session, or empty for all others.
    source text COLLATE "C" NOT NULL,
    failures bigint NOT NULL,
    last_failed_at timestamptz NOT NULL,
    CONSTRAINT cf_sign_in_failures_pkey PRIMARY KEY (account_id, source)
);

-- Those who are no users, so that for them a row is written as for a user: UUIDs that are none, 0 to 1023.
INSERT INTO cf_sign_in_failures (account_id, source, failures, last_failed_at)
SELECT lpad(to_hex(number), 32, '0')::uuid, '', 0, to_timestamp(0) FROM generate_series(0, 1023) AS number;

ALTER TABLE cf_users DROP COLUMN password_hash;
