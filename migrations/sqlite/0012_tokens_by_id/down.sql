CREATE TABLE cf_refresh_tokens_old (
    id blob NOT NULL CONSTRAINT cf_refresh_tokens_pkey PRIMARY KEY,
    revision integer NOT NULL,
    user_id blob NOT NULL
        CONSTRAINT cf_refresh_tokens_user_id_fkey REFERENCES cf_users (id) ON DELETE CASCADE,
    family_id blob NOT NULL,
    token_hash blob NOT NULL CONSTRAINT cf_refresh_tokens_token_hash_key UNIQUE,
    parent_id blob CONSTRAINT cf_refresh_tokens_parent_id_key UNIQUE,
    user_agent text,
    ip_address text,
    expires_at integer NOT NULL,
    family_expires_at integer NOT NULL,
    rotated_at integer,
    -- The successor's secret, sealed. Kept only while a rotation grace period may return it again.
    successor_sealed blob,
    revoked_at integer,
    revoked_reason text
        CONSTRAINT cf_refresh_tokens_revoked_reason_check CHECK (revoked_reason IN ('revoked', 'revoked_all', 'reused')),
    created_at integer NOT NULL,
    updated_at integer NOT NULL
) STRICT;
INSERT INTO cf_refresh_tokens_old SELECT * FROM cf_refresh_tokens ORDER BY rowid;
DROP TABLE cf_refresh_tokens;
ALTER TABLE cf_refresh_tokens_old RENAME TO cf_refresh_tokens;

CREATE INDEX cf_refresh_tokens_user_family_idx ON cf_refresh_tokens (user_id, family_id);
CREATE INDEX cf_refresh_tokens_live_idx ON cf_refresh_tokens (user_id, id) WHERE rotated_at IS NULL AND revoked_at IS NULL;
CREATE INDEX cf_refresh_tokens_expiry_idx ON cf_refresh_tokens (expires_at) WHERE rotated_at IS NULL;
