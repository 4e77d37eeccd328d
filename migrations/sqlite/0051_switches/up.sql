-- Memberships and API keys can be disabled and enabled.
ALTER TABLE cf_memberships ADD COLUMN state text NOT NULL DEFAULT 'active'
    CONSTRAINT cf_memberships_state_check CHECK (state IN ('active', 'disabled'));
ALTER TABLE cf_api_keys ADD COLUMN disabled_at integer;
