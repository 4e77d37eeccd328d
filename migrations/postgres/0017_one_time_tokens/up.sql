-- Mailed tokens that are still unused: at most one of each kind per user.
CREATE TABLE cf_one_time_tokens (
    id uuid NOT NULL CONSTRAINT cf_one_time_tokens_pkey PRIMARY KEY,
    user_id uuid NOT NULL
        CONSTRAINT cf_one_time_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    purpose text COLLATE "C" NOT NULL
        CONSTRAINT cf_one_time_tokens_purpose_check
            CHECK (purpose IN ('email_verification', 'password_reset', 'email_change')),
    token_hash bytea NOT NULL,
    -- The user's e-mail when the token was created. A different one invalidates the token.
    user_email_normalized text NOT NULL,
    -- The address that it was mailed to.
    email text NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT cf_one_time_tokens_user_id_purpose_key UNIQUE (user_id, purpose)
);

-- The sweep.
CREATE INDEX cf_one_time_tokens_expires_at_idx ON cf_one_time_tokens (expires_at);
