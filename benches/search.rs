//! Search, lists of members and counts on a large database, each compared with a page of ListMemberships; and CreateUser with and without
//! the index of search.

use std::time::{Duration, Instant};

use tenantry::pb::{self, MemberOrder, list_effective_permissions_request::Subject};

use crate::{
    load::{self, CONNECTIONS, IN_FLIGHT},
    operations::CreateUser,
    report::{Report, median, name},
    server,
    support::{Answered as _, Api, Backend, database::TestDatabase},
    wire::Script,
};

/// Number of members of the large organization, with its owner.
pub const MEMBERS: usize = 10_001;
/// Page size.
const PAGE: i32 = 50;
/// Number of calls per median.
const CALLS: usize = 101;
/// Maximum time of a page, as a multiple of a page of ListMemberships.
const MOST: f64 = 3.0;
/// Minimum rate of CreateUser with the index, as a part of the rate without.
const LEAST: f64 = 0.85;

/// SQL that adds members to the organization with the slug `large`.
pub fn large_organization(backend: Backend) -> String {
    let (id, line) = match backend {
        Backend::Sqlite => {
            ("unhex(printf('%012x7009', 1700000000000) || '8' || substr(hex(randomblob(8)), 1, 15))", "char(10)")
        }
        Backend::Postgres => ("gen_random_uuid()", "chr(10)"),
    };
    format!(
        "INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, permissions, created_at, updated_at, user_email, \
         user_search, user_state) SELECT {id}, 1, id, (SELECT id FROM cf_organizations WHERE slug = 'large'), 'member', '[]', created_at, \
         created_at, email_normalized, lower(name) || {line} || email_normalized, 'active' FROM cf_users WHERE name LIKE 'User %' \
         AND id NOT IN (SELECT user_id FROM cf_memberships JOIN cf_organizations ON cf_organizations.id = organization_id WHERE slug = 'large') \
         ORDER BY cf_users.id LIMIT {}",
        MEMBERS - 1
    )
}

/// Waits until the index holds everything. Returns how long that took.
pub async fn indexed(database: &TestDatabase) -> Duration {
    let begun = Instant::now();
    database.indexed().await;
    begun.elapsed()
}

/// Measures the pages, one call at a time.
pub async fn pages(api: &Api, backend: Backend, report: &mut Report, organization_id: &str) {
    let name = name(backend);
    let list = pb::ListMembershipsRequest {
        organization_id: organization_id.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    let page = timed(async || drop(api.memberships().list_memberships(list.clone()).await.answered())).await;
    report.line(format!("{name}: a page of {PAGE} of ListMemberships of {MEMBERS} members takes {page:.1?}"));
    let mut compared = |what: &str, time: Duration| {
        let ratio = time.as_secs_f64() / page.as_secs_f64();
        let verdict = if ratio > MOST { " **too slow**" } else { "" };
        report.line(format!("{name}: {what}: {time:.1?}, {ratio:.2} of that page{verdict}"));
    };
    let members = |query: &str, order: MemberOrder| pb::ListMembersRequest {
        organization_id: organization_id.to_owned(),
        query: query.to_owned(),
        order: order.into(),
        page_size: PAGE,
        ..Default::default()
    };
    for (what, query, order) in [
        ("ListMembers, oldest first", "", MemberOrder::OldestFirst),
        ("ListMembers, newest first", "", MemberOrder::NewestFirst),
        ("ListMembers by name", "", MemberOrder::Name),
        ("ListMembers, a frequent fragment", "@example", MemberOrder::OldestFirst),
        ("ListMembers, a rare fragment", "user 77", MemberOrder::OldestFirst),
        ("ListMembers, a rare fragment by name", "user 77", MemberOrder::Name),
        ("ListMembers, a fragment that occurs nowhere", "nobody", MemberOrder::OldestFirst),
    ] {
        let request = members(query, order);
        let time = timed(async || drop(api.memberships().list_members(request.clone()).await.answered())).await;
        compared(what, time);
    }
    let count = pb::CountMembersRequest { organization_id: organization_id.to_owned(), ..Default::default() };
    let counted = timed(async || {
        api.memberships().count_members(count.clone()).await.answered();
    });
    compared("CountMembers", counted.await);
    let listed = api.memberships().list_memberships(list).await.answered();
    let user_id = listed.memberships.last().expect("the organization has members").user_id.clone();
    let effective = pb::ListEffectivePermissionsRequest {
        subject: Some(Subject::UserId(user_id)),
        organization_id: organization_id.to_owned(),
    };
    let listed = timed(async || {
        api.authorization().list_effective_permissions(effective.clone()).await.answered();
    });
    compared("ListEffectivePermissions", listed.await);
    let principals = pb::ListPrincipalsWithPermissionRequest {
        organization_id: organization_id.to_owned(),
        permission: "memberships:read".to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    let listed = timed(async || {
        api.authorization().list_principals_with_permission(principals.clone()).await.answered();
    });
    compared("ListPrincipalsWithPermission", listed.await);
    for (what, query, organization) in [
        ("ListUsers over all, the fragment an address ends with", "@example.org", ""),
        ("ListUsers over all, two frequent characters", "us", ""),
        ("ListUsers over all, a rare fragment", "user 98765", ""),
        ("ListUsers over all, a fragment that occurs nowhere", "nobody at all", ""),
        ("ListUsers over all, frequent grams that rarely meet", "er 9org", ""),
        ("ListUsers of the organization, a frequent fragment", "@example.org", organization_id),
        ("ListUsers of the organization, a rare fragment", "user 77", organization_id),
    ] {
        let request = pb::ListUsersRequest {
            query: query.to_owned(),
            organization_id: organization.to_owned(),
            page_size: PAGE,
            ..Default::default()
        };
        compared(what, timed(async || drop(api.users().list_users(request.clone()).await.answered())).await);
    }
    walk(api, name, report, organization_id).await;
}

/// Walks through all members, and through a search.
async fn walk(api: &Api, name: &str, report: &mut Report, organization_id: &str) {
    for (query, page_size) in [("", 50), ("", 1000), ("user 77", 50)] {
        let (begun, mut calls, mut seen, mut page_token) = (Instant::now(), 0, 0, String::new());
        loop {
            let request = pb::ListMembersRequest {
                organization_id: organization_id.to_owned(),
                query: query.to_owned(),
                page_size,
                page_token,
                ..Default::default()
            };
            let page = api.memberships().list_members(request).await.answered();
            (calls, seen, page_token) = (calls + 1, seen + page.members.len(), page.next_page_token);
            if page_token.is_empty() {
                break;
            }
        }
        report.line(format!(
            "{name}: walk of ListMembers in pages of {page_size}{}: {seen} members in {calls} calls, {:.1?}",
            if query.is_empty() { String::new() } else { format!(" with query {query:?}") },
            begun.elapsed()
        ));
    }
}

async fn timed(call: impl AsyncFn()) -> Duration {
    let mut taken = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        call().await;
        taken.push(begun.elapsed());
    }
    taken.sort_unstable();
    taken[CALLS / 2]
}

/// Compares CreateUser with the index and without, alternating. Without, notes of pending users are discarded by a trigger.
pub async fn create_user(
    database: &TestDatabase,
    backend: Backend,
    report: &mut Report,
    key: &str,
    lasting: Duration,
    rounds: u64,
) {
    let rate = |with: bool| {
        let database = &database;
        async move {
            if !with {
                for statement in discarding(backend) {
                    database.execute(statement).await;
                }
            }
            let serving = server::ours(database);
            let script = |_| -> Box<dyn Script> { Box::new(CreateUser) };
            let shape = (CONNECTIONS, IN_FLIGHT);
            let rate = tokio::task::block_in_place(|| load::run(serving.address, Some(key), shape, lasting, script));
            drop(serving);
            if !with {
                database.execute("DROP VIEW cf_search_pending").await;
                database.execute("ALTER TABLE cf_search_kept RENAME TO cf_search_pending").await;
            }
            rate.per_second
        }
    };
    let mut ratios = Vec::new();
    for _ in 0..rounds.max(3) {
        let (with, without) = (rate(true).await, rate(false).await);
        ratios.push(with / without);
    }
    let ratio = median(&ratios);
    let verdict = if ratio < LEAST { " **too slow**" } else { "" };
    report.line(format!(
        "{}: CreateUser with the index of search: {ratio:.2} of its rate without{verdict}",
        name(backend)
    ));
}

/// Replaces the table of pending users by a view that discards what is inserted.
fn discarding(backend: Backend) -> &'static [&'static str] {
    const RENAME: &str = "ALTER TABLE cf_search_pending RENAME TO cf_search_kept";
    const VIEW: &str = "CREATE VIEW cf_search_pending AS SELECT * FROM cf_search_kept WHERE kind < 0";
    match backend {
        Backend::Sqlite => &[
            RENAME,
            VIEW,
            "CREATE TRIGGER cf_search_discard INSTEAD OF INSERT ON cf_search_pending BEGIN SELECT 1; END",
        ],
        Backend::Postgres => &[
            RENAME,
            VIEW,
            "CREATE OR REPLACE FUNCTION cf_search_discard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER cf_search_discard INSTEAD OF INSERT ON cf_search_pending FOR EACH ROW EXECUTE FUNCTION cf_search_discard()",
        ],
    }
}
