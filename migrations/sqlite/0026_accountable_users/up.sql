-- The user whose quotas the organization's own API keys count towards. Without one, the organization has its own quotas.
ALTER TABLE cf_organizations ADD COLUMN accountable_user_id blob;
UPDATE cf_organizations SET accountable_user_id = (
    SELECT user_id FROM cf_memberships
    WHERE cf_memberships.organization_id = cf_organizations.id AND cf_memberships.role = 'owner'
    ORDER BY cf_memberships.id LIMIT 1
);
