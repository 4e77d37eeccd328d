-- A person's account. Uniqueness and lookup use `email_normalized`; a tombstone (`deleted_at`) frees it.
CREATE TABLE cf_users (
    id uuid NOT NULL CONSTRAINT cf_users_pkey PRIMARY KEY,
    revision bigint NOT NULL,
    email text NOT NULL,
    email_normalized text COLLATE "C" NOT NULL,
    name text NOT NULL,
    avatar_url text,
    password_hash text,
    email_verified_at timestamptz,
    is_platform_admin boolean NOT NULL,
    state text NOT NULL CONSTRAINT cf_users_state_check CHECK (state IN ('active', 'suspended')),
    metadata jsonb NOT NULL,
    last_sign_in_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- Uniqueness, GetUserByEmail, and ListUsers in order of e-mail.
CREATE UNIQUE INDEX cf_users_email_key ON cf_users (email_normalized) WHERE deleted_at IS NULL;
-- ListUsers by state.
CREATE INDEX cf_users_state_idx ON cf_users (state, id) WHERE deleted_at IS NULL;
-- ListUsers of deleted users.
CREATE INDEX cf_users_deleted_idx ON cf_users (id) WHERE deleted_at IS NOT NULL;
-- The rule that keeps the last platform admin.
CREATE INDEX cf_users_platform_admin_idx ON cf_users (id) WHERE is_platform_admin;
