-- Password hashes. In their own table, so that reading a user never reads a hash.
CREATE TABLE cf_passwords (
    user_id uuid NOT NULL CONSTRAINT cf_passwords_pkey PRIMARY KEY
        CONSTRAINT cf_passwords_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    -- The hash was imported: it covers the password as typed, not its normal form.
    is_imported boolean NOT NULL,
    changed_at timestamptz NOT NULL
);

-- Consecutive wrong passwords of a user with a password, by source.
CREATE TABLE cf_sign_in_failures (
    account_id uuid NOT NULL,
    -- An address from which the user has a session; empty for all others.
    source text COLLATE "C" NOT NULL,
    failures bigint NOT NULL,
    last_failed_at timestamptz NOT NULL,
    CONSTRAINT cf_sign_in_failures_pkey PRIMARY KEY (account_id, source)
);

-- Decoys, so that an attempt on an unknown user writes a row too. Their ids, 0 to 1023, never occur as user ids.
INSERT INTO cf_sign_in_failures (account_id, source, failures, last_failed_at)
SELECT lpad(to_hex(number), 32, '0')::uuid, '', 0, to_timestamp(0) FROM generate_series(0, 1023) AS number;

ALTER TABLE cf_users DROP COLUMN password_hash;
