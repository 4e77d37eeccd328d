//! A full walk of a list returns every lasting row exactly once, despite concurrent inserts and deletes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tenantry::{pb, security::random};
use uuid::Uuid;

use crate::support::{Answered as _, Test, both, database::TestDatabase};

/// Number of rows that exist during the whole walk.
const STAY: usize = 1500;
/// Number of batches of temporary rows, and their size: 10,000 rows in all.
const BATCHES: usize = 100;
const BATCH: usize = 100;
const PAGE: i32 = 83;

/// Ids anywhere among the others, not only at the end like new ones.
fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::from_bytes(random::bytes())).collect()
}

/// Inserts members of an organization directly into the database.
async fn insert(database: &TestDatabase, organization: &str, ids: &[Uuid]) {
    let literal = |id: &Uuid| match database {
        TestDatabase::Sqlite(_) => format!("x'{}'", id.simple()),
        TestDatabase::Postgres(_) => format!("'{id}'"),
    };
    let (time, yes) = match database {
        TestDatabase::Sqlite(_) => ("0", "0"),
        TestDatabase::Postgres(_) => ("'2026-01-01'", "false"),
    };
    let organization = literal(&organization.parse().unwrap());
    let user = |id: &Uuid| {
        let email = format!("walk-{}@example.com", id.simple());
        format!("({}, 1, '{email}', '{email}', 'Walk', {yes}, 'active', '{{}}', {time}, {time})", literal(id))
    };
    let users: Vec<String> = ids.iter().map(user).collect();
    let membership = |id: &Uuid| {
        let email = format!("walk-{}@example.com", id.simple());
        format!("({0}, 1, {0}, {organization}, 'member', '[]', {time}, {time}, '{email}')", literal(id))
    };
    let memberships: Vec<String> = ids.iter().map(membership).collect();
    database
        .execute(&format!(
            "BEGIN; INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, \
             created_at, updated_at) VALUES {}; INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, \
             permissions, created_at, updated_at, user_email) VALUES {}; COMMIT;",
            users.join(", "),
            memberships.join(", "),
        ))
        .await;
}

async fn delete(database: &TestDatabase, ids: &[Uuid]) {
    let literals: Vec<String> = ids
        .iter()
        .map(|id| match database {
            TestDatabase::Sqlite(_) => format!("x'{}'", id.simple()),
            TestDatabase::Postgres(_) => format!("'{id}'"),
        })
        .collect();
    // SQLite does not enforce foreign keys on this test's connection, so both are deleted here.
    let literals = literals.join(", ");
    let sql = format!(
        "BEGIN; DELETE FROM cf_memberships WHERE user_id IN ({literals}); DELETE FROM cf_users WHERE id IN ({literals}); COMMIT;"
    );
    database.execute(&sql).await;
}

/// Walks a list repeatedly until `done`, and counts the rows that each walk returned.
async fn walk<P: Future<Output = Page>>(
    what: &str,
    stayed: Arc<Vec<Uuid>>,
    done: Arc<AtomicBool>,
    page: impl Fn(String) -> P,
) -> usize {
    let mut walks = 0;
    loop {
        let last = done.load(Ordering::SeqCst);
        let mut seen: HashMap<Uuid, usize> = HashMap::new();
        let mut token = String::new();
        loop {
            let (ids, next) = page(token).await;
            for id in ids {
                *seen.entry(id.parse().unwrap()).or_default() += 1;
            }
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert!(seen.values().all(|count| *count == 1), "{what}: a row was returned twice");
        assert!(stayed.iter().all(|id| seen.contains_key(id)), "{what}: a lasting row was not returned");
        walks += 1;
        if last {
            return walks;
        }
    }
}

/// The ids of a page's users, and the token of the next page.
type Page = (Vec<String>, String);

async fn users(t: Arc<Test>, request: pb::ListUsersRequest, page_token: String) -> Page {
    let request = pb::ListUsersRequest { page_token, page_size: PAGE, ..request };
    let page = t.admin().users().list_users(request).await.answered();
    (page.users.into_iter().map(|user| user.id).collect(), page.next_page_token)
}

async fn memberships(t: Arc<Test>, request: pb::ListMembershipsRequest, page_token: String) -> Page {
    let request = pb::ListMembershipsRequest { page_token, page_size: PAGE, ..request };
    let page = t.admin().memberships().list_memberships(request).await.answered();
    (page.memberships.into_iter().map(|membership| membership.id).collect(), page.next_page_token)
}

#[both]
async fn a_walk_returns_every_row_that_stayed_exactly_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let stayed = Arc::new(ids(STAY));
    for some in stayed.chunks(500) {
        insert(&t.database, &acme.id, some).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let all = pb::ListUsersRequest::default();
    let by_prefix = pb::ListUsersRequest { email_prefix: "walk-".to_owned(), ..Default::default() };
    let of_organization = pb::ListUsersRequest { organization_id: acme.id.clone(), ..Default::default() };
    let members_by_prefix = pb::ListUsersRequest { email_prefix: "walk-".to_owned(), ..of_organization.clone() };
    let in_organization = pb::ListMembershipsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let churn = async {
        for _ in 0..BATCHES {
            let come = ids(BATCH);
            insert(&t.database, &acme.id, &come).await;
            tokio::task::yield_now().await;
            delete(&t.database, &come).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let (walks, ..) = tokio::join!(
        walk("users", stayed.clone(), done.clone(), |token| users(t.clone(), all.clone(), token)),
        walk("users by e-mail", stayed.clone(), done.clone(), |token| users(t.clone(), by_prefix.clone(), token)),
        walk("members by e-mail", stayed.clone(), done.clone(), |token| users(
            t.clone(),
            members_by_prefix.clone(),
            token
        )),
        walk("members", stayed.clone(), done.clone(), |token| users(t.clone(), of_organization.clone(), token)),
        walk("memberships", stayed.clone(), done.clone(), |token| memberships(
            t.clone(),
            in_organization.clone(),
            token
        )),
        churn,
    );
    assert!(walks > 1, "only one walk during the changes");
}

#[both]
async fn a_page_that_a_client_could_not_take_ends_early_and_the_walk_goes_on(t: Arc<Test>) {
    let large = crate::support::object("a", &"x".repeat(15_000));
    for number in 0..250 {
        let request = pb::CreateUserRequest {
            email: format!("large-{number}@example.com"),
            name: "Large".to_owned(),
            metadata: large.clone(),
            ..Default::default()
        };
        t.admin().users().create_user(request).await.unwrap();
    }
    let (mut pages, mut seen, mut page_token) = (0, std::collections::HashSet::new(), String::new());
    loop {
        let request = pb::ListUsersRequest { page_size: 1000, page_token, ..Default::default() };
        let page = t.admin().users().list_users(request).await.answered();
        assert!(prost::Message::encoded_len(&page) < 4 * 1024 * 1024);
        assert!(page.users.into_iter().all(|user| seen.insert(user.id)), "a row was returned twice");
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (2, 251));
}
