//! Invariants of a database at any moment, whatever happened to its servers.

use super::database::TestDatabase;

/// Queries that must return nothing, each with the meaning of a result.
const NOTHING: [(&str, &str); 13] = [
    (
        "I1: a session with a generation below 1, or with a refresh that was not stored",
        "SELECT 'x' AS value FROM cf_sessions WHERE generation < 1 OR revision < generation \
         OR (generation = 1) <> (refreshed_at IS NULL)",
    ),
    (
        "I2: a session that was revoked without a reason",
        "SELECT 'x' AS value FROM cf_sessions WHERE (revoked_at IS NULL) <> (revoked_reason IS NULL)",
    ),
    (
        "I2: a session that is swept before it has expired, or outlives its end",
        "SELECT 'x' AS value FROM cf_sessions WHERE sweep_at < expires_at OR expires_at > ends_at",
    ),
    (
        "I3: an organization without an owner",
        "SELECT 'x' AS value FROM cf_organizations o WHERE o.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM cf_memberships m \
         JOIN cf_users u ON u.id = m.user_id WHERE m.organization_id = o.id AND m.role = 'owner' \
         AND u.deleted_at IS NULL)",
    ),
    (
        "I4: a membership without its user or organization",
        "SELECT 'x' AS value FROM cf_memberships m WHERE NOT EXISTS (SELECT 1 FROM cf_users u WHERE u.id = m.user_id) \
         OR NOT EXISTS (SELECT 1 FROM cf_organizations o WHERE o.id = m.organization_id)",
    ),
    (
        "I4: a key, an account or a session without its user",
        "SELECT 'x' AS value FROM (SELECT user_id FROM cf_api_keys WHERE user_id IS NOT NULL UNION ALL \
         SELECT user_id FROM cf_oauth_accounts UNION ALL SELECT user_id FROM cf_sessions) h \
         WHERE NOT EXISTS (SELECT 1 FROM cf_users u WHERE u.id = h.user_id)",
    ),
    (
        "I4: a role, an invitation or a key without its organization",
        "SELECT 'x' AS value FROM (SELECT organization_id FROM cf_roles UNION ALL SELECT organization_id FROM cf_invitations UNION ALL \
         SELECT organization_id FROM cf_api_keys WHERE organization_id IS NOT NULL) h \
         WHERE NOT EXISTS (SELECT 1 FROM cf_organizations o WHERE o.id = h.organization_id)",
    ),
    (
        "I4: a membership or an invitation with a role that its organization does not have",
        "SELECT 'x' AS value FROM (SELECT organization_id, role FROM cf_memberships UNION ALL \
         SELECT organization_id, role FROM cf_invitations) h WHERE role NOT IN ('owner', 'admin', 'member', 'viewer') \
         AND NOT EXISTS (SELECT 1 FROM cf_roles r WHERE r.organization_id = h.organization_id AND r.name = h.role)",
    ),
    (
        "I5: an e-mail of two users",
        "SELECT 'x' AS value FROM cf_users WHERE deleted_at IS NULL GROUP BY email_normalized HAVING count(*) > 1",
    ),
    (
        "I5: an account that is linked twice",
        "SELECT 'x' AS value FROM cf_oauth_accounts a JOIN cf_users u ON u.id = a.user_id WHERE u.deleted_at IS NULL \
         GROUP BY a.provider, a.provider_user_id HAVING count(*) > 1",
    ),
    (
        "I5: a copy of the time at which a user was deleted that differs from it",
        "SELECT 'x' AS value FROM cf_oauth_accounts a JOIN cf_users u ON u.id = a.user_id \
         WHERE (a.user_deleted_at IS NULL) <> (u.deleted_at IS NULL)",
    ),
    (
        "I6: an event that organizations see and that is not stored",
        "SELECT 'x' AS value FROM cf_member_events m WHERE NOT EXISTS (SELECT 1 FROM cf_events e WHERE e.id = m.event_id)",
    ),
    (
        "I8: a request that was accepted and not answered",
        "SELECT 'x' AS value FROM cf_remembered_answers WHERE answer IS NULL",
    ),
];

/// Asserts the invariants that SQL can check: I1 to I5 and part of I8. The others need a server.
pub async fn assert_hold(database: &TestDatabase) {
    for (meaning, query) in NOTHING {
        assert_eq!(database.texts(query).await, Vec::<String>::new(), "{meaning}");
    }
    let admins =
        "SELECT name AS value FROM cf_users WHERE is_platform_admin AND state = 'active' AND deleted_at IS NULL";
    assert!(!database.texts(admins).await.is_empty(), "I3: no platform admin");
    if matches!(database, TestDatabase::Sqlite(_)) {
        let check = "SELECT integrity_check AS value FROM pragma_integrity_check";
        assert_eq!(database.texts(check).await, ["ok"]);
        let check = "SELECT \"table\" AS value FROM pragma_foreign_key_check";
        assert_eq!(database.texts(check).await, Vec::<String>::new());
    }
}
