ALTER TABLE cf_users ADD COLUMN private_metadata text NOT NULL DEFAULT '{}';
ALTER TABLE cf_organizations ADD COLUMN private_metadata text NOT NULL DEFAULT '{}';
ALTER TABLE cf_memberships ADD COLUMN metadata text NOT NULL DEFAULT '{}';
ALTER TABLE cf_memberships ADD COLUMN private_metadata text NOT NULL DEFAULT '{}';

-- The texts, numbers and booleans at the top level of metadata and settings, for filters by one key's value. `scope_id` is the tenant
-- whose lists find the entry: the organization of a membership, the owner of an API key, and zeros for users and organizations.
-- Written in the transaction that changes the resource.
CREATE TABLE cf_metadata_entries (
    kind text NOT NULL,
    resource_id blob NOT NULL,
    key text NOT NULL,
    scope_id blob NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (kind, resource_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX cf_metadata_entries_value_idx ON cf_metadata_entries (kind, scope_id, key, value, resource_id);

INSERT INTO cf_metadata_entries (kind, resource_id, key, scope_id, value)
SELECT found.kind, found.resource_id, found.key, found.scope_id, found.value
FROM (
    SELECT 'user' AS kind, own.id AS resource_id, entry.key AS key, zeroblob(16) AS scope_id, entry.type AS type,
        CASE WHEN entry.type IN ('true', 'false') THEN entry.type ELSE CAST(entry.value AS text) END AS value
    FROM cf_users own, json_each(own.metadata) entry
    UNION ALL
    SELECT 'organization', own.id, entry.key, zeroblob(16), entry.type,
        CASE WHEN entry.type IN ('true', 'false') THEN entry.type ELSE CAST(entry.value AS text) END
    FROM cf_organizations own, json_each(own.settings) entry
    UNION ALL
    SELECT 'api_key', own.id, entry.key, COALESCE(own.organization_id, own.user_id), entry.type,
        CASE WHEN entry.type IN ('true', 'false') THEN entry.type ELSE CAST(entry.value AS text) END
    FROM cf_api_keys own, json_each(own.metadata) entry
) found
WHERE found.type IN ('text', 'integer', 'real', 'true', 'false') AND length(CAST(found.value AS blob)) <= 256
    AND length(CAST(found.key AS blob)) <= 128;
