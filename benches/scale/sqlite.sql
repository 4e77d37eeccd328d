-- Ids like those of the service: a timestamp followed by random bits.
PRAGMA synchronous = OFF;
PRAGMA cache_size = -400000;
PRAGMA foreign_keys = OFF;
PRAGMA temp_store = MEMORY;
BEGIN;
CREATE TEMP TABLE made (n INTEGER PRIMARY KEY, user BLOB, organization BLOB);
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999999)
INSERT INTO made SELECT n,
    unhex(printf('%012x7001', 1700000000000 + n) || '8' || substr(hex(randomblob(8)), 1, 15)),
    unhex(printf('%012x7002', 1700000000000 + n) || '8' || substr(hex(randomblob(8)), 1, 15))
FROM numbers;

INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, created_at, updated_at)
SELECT user, 1, 'user' || n || '@example.org', 'user' || n || '@example.org', 'User ' || n, 0, 'active', '{}', 1700000000000000 + n * 1000, 1700000000000000
FROM made ORDER BY n;

INSERT INTO cf_organizations (id, revision, name, name_normalized, slug, plan, settings, state, created_at, updated_at)
SELECT organization, 1, 'Organization ' || n, 'organization ' || n, 'organization-' || n, 'free', '{}', 'active', 1700000000000000, 1700000000000000
FROM made WHERE n < 100000 ORDER BY n;

-- Thirty members per organization; the first is the owner.
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2999999)
INSERT OR IGNORE INTO cf_memberships (id, revision, user_id, organization_id, role, permissions, created_at, updated_at, user_email, user_search)
SELECT unhex(printf('%012x7003', 1700000000000 + numbers.n) || '8' || substr(hex(randomblob(8)), 1, 15)), 1,
    (SELECT user FROM made WHERE made.n = (numbers.n * 7919) % 1000000), (SELECT organization FROM made WHERE made.n = numbers.n / 30),
    CASE WHEN numbers.n % 30 = 0 THEN 'owner' ELSE 'member' END, '[]', 1700000000000000, 1700000000000000, 'user' || ((numbers.n * 7919) % 1000000) || '@example.org',
    'user ' || ((numbers.n * 7919) % 1000000) || char(10) || 'user' || ((numbers.n * 7919) % 1000000) || '@example.org'
FROM numbers;

WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500000)
INSERT INTO cf_api_keys (id, revision, organization_id, name, prefix, secret_hash, scopes, environment, metadata, created_at, updated_at)
SELECT unhex(printf('%012x7004', 1700000000000 + numbers.n) || '8' || substr(hex(randomblob(8)), 1, 15)), 1,
    (SELECT organization FROM made WHERE made.n = numbers.n % 100000), 'key', printf('cf_live_%012X', numbers.n), randomblob(32), '["users:read"]', 'live', '{}', 1700000000000000, 1700000000000000
FROM numbers;

WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500000)
INSERT INTO cf_sessions (id, revision, user_id, generation, secret_sealed, by_password, expires_at, ends_at, sweep_at, created_at, updated_at)
SELECT id, 1, user, 1, randomblob(32), 1, 4000000000000000, 4000000000000000, 4000000000000000, 1700000000000000, 1700000000000000 FROM (
    SELECT unhex(printf('%012x7005', 1700000000000 + numbers.n) || '8' || substr(hex(randomblob(8)), 1, 15)) AS id,
        (SELECT user FROM made WHERE made.n = numbers.n % 1000000) AS user FROM numbers);

INSERT OR IGNORE INTO cf_search_pending (kind, id, changes) SELECT 1, id, 0 FROM cf_users;
INSERT OR IGNORE INTO cf_search_pending (kind, id, changes) SELECT 2, id, 0 FROM cf_organizations;

DROP TABLE made;
COMMIT;
ANALYZE;
