-- Ids like those of the service: a timestamp followed by random bits.
CREATE FUNCTION made(kind bigint, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(1700000000000 + number), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8' || substr(md5(kind || '-' || number), 1, 15))::uuid
$$;

INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, created_at, updated_at)
SELECT made(1, n), 1, 'user' || n || '@example.org', 'user' || n || '@example.org', 'User ' || n, false, 'active', '{}', now(), now()
FROM generate_series(1, 1000000) n;

INSERT INTO cf_organizations (id, revision, name, name_normalized, slug, plan, settings, state, created_at, updated_at)
SELECT made(2, n), 1, 'Organization ' || n, 'organization ' || n, 'organization-' || n, 'free', '{}', 'active', now(), now()
FROM generate_series(1, 100000) n;

-- Thirty members per organization; the first is the owner.
INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, permissions, created_at, updated_at, user_email, user_search)
SELECT made(3, n), 1, made(1, 1 + (n::bigint * 7919) % 1000000), made(2, 1 + n / 30), CASE WHEN n % 30 = 0 THEN 'owner' ELSE 'member' END, '[]', now(), now(), 'user' || (1 + (n::bigint * 7919) % 1000000) || '@example.org',
    'user ' || (1 + (n::bigint * 7919) % 1000000) || chr(10) || 'user' || (1 + (n::bigint * 7919) % 1000000) || '@example.org'
FROM generate_series(0, 2999999) n ON CONFLICT DO NOTHING;

INSERT INTO cf_api_keys (id, revision, organization_id, name, prefix, secret_hash, scopes, environment, metadata, created_at, updated_at)
SELECT made(4, n), 1, made(2, 1 + n % 100000), 'key', 'cf_live_' || upper(substr(md5('k' || n), 1, 12)), sha256(('k' || n)::bytea), '["users:read"]', 'live', '{}', now(), now()
FROM generate_series(1, 2500000) n ON CONFLICT DO NOTHING;

INSERT INTO cf_sessions (id, revision, user_id, generation, secret_sealed, by_password, expires_at, ends_at, sweep_at, created_at, updated_at)
SELECT made(5, n), 1, made(1, 1 + n % 1000000), 1, sha256(('t' || n)::bytea), true, now() + interval '30 days', now() + interval '90 days', now() + interval '31 days', now(), now()
FROM generate_series(1, 2500000) n;

INSERT INTO cf_search_pending (kind, id, changes) SELECT 1, id, 0 FROM cf_users ON CONFLICT DO NOTHING;
INSERT INTO cf_search_pending (kind, id, changes) SELECT 2, id, 0 FROM cf_organizations ON CONFLICT DO NOTHING;

DROP FUNCTION made;
ANALYZE;
