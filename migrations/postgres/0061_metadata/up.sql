ALTER TABLE cf_users ADD COLUMN private_metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE cf_organizations ADD COLUMN private_metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE cf_memberships ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}';
ALTER TABLE cf_memberships ADD COLUMN private_metadata jsonb NOT NULL DEFAULT '{}';

-- The texts, numbers and booleans at the top level of metadata and settings, for filters by one key's value. `scope_id` is the tenant
-- whose lists find the entry: the organization of a membership, the owner of an API key, and zeros for users and organizations.
-- Written in the transaction that changes the resource.
CREATE TABLE cf_metadata_entries (
    kind text COLLATE "C" NOT NULL,
    resource_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    scope_id uuid NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT cf_metadata_entries_pkey PRIMARY KEY (kind, resource_id, key)
);
CREATE INDEX cf_metadata_entries_value_idx ON cf_metadata_entries (kind, scope_id, key, value, resource_id);

INSERT INTO cf_metadata_entries (kind, resource_id, key, scope_id, value)
SELECT found.kind, found.resource_id, found.key, found.scope_id, found.value
FROM (
    SELECT 'user' AS kind, own.id AS resource_id, entry.key, '00000000-0000-0000-0000-000000000000'::uuid AS scope_id,
        entry.value #>> '{}' AS value, jsonb_typeof(entry.value) AS type
    FROM cf_users own, jsonb_each(own.metadata) entry
    UNION ALL
    SELECT 'organization', own.id, entry.key, '00000000-0000-0000-0000-000000000000'::uuid, entry.value #>> '{}',
        jsonb_typeof(entry.value)
    FROM cf_organizations own, jsonb_each(own.settings) entry
    UNION ALL
    SELECT 'api_key', own.id, entry.key, COALESCE(own.organization_id, own.user_id), entry.value #>> '{}',
        jsonb_typeof(entry.value)
    FROM cf_api_keys own, jsonb_each(own.metadata) entry
) found
WHERE found.type IN ('string', 'number', 'boolean') AND octet_length(found.value) <= 256 AND octet_length(found.key) <= 128;
