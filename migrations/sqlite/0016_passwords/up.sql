-- What users prove themselves with. Apart from the users: whoever reads a user does not read a hash.
CREATE TABLE cf_passwords (
    user_id blob NOT NULL CONSTRAINT cf_passwords_pkey PRIMARY KEY
        CONSTRAINT cf_passwords_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    hash text NOT NULL,
    -- Made elsewhere: of the password as it was typed, not of its normal form.
    is_imported integer NOT NULL,
    changed_at integer NOT NULL
) STRICT;

-- Wrong passwords in a row: of a user, by source. The rows of those who are no users are a fixed number of decoys.
CREATE TABLE cf_sign_in_failures (
    account_id blob NOT NULL,
    -- An address from which the user has a session, or empty for all others.
    source text NOT NULL,
    failures integer NOT NULL,
    last_failed_at integer NOT NULL,
    CONSTRAINT cf_sign_in_failures_pkey PRIMARY KEY (account_id, source)
) STRICT;

ALTER TABLE cf_users DROP COLUMN password_hash;
