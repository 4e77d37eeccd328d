//! Sweeps: expired rows are deleted, others stay, and no call waits for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tenantry::{clock::Clock as _, pb};

use crate::support::{
    Answered as _, Backend, DAY, Test, both,
    database::TestDatabase,
    follow::{Watch, actions, newest, since},
    run,
};

async fn count(t: &Test, table: &str) -> usize {
    t.database.texts(&format!("SELECT 'x' AS value FROM {table}")).await.len()
}

/// Waits until a table has a number of rows.
async fn becomes(t: &Test, table: &str, rows: usize) {
    let waits = async {
        while count(t, table).await != rows {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_mins(3), waits);
    waits.await.unwrap_or_else(|_| panic!("{table} does not reach {rows} rows"));
}

/// Inserts expired sessions of a user directly into the database, with consecutive ids like real ones.
async fn expired_sessions(t: &Test, user_id: &str, sessions: u32) {
    let yesterday = t.clock.now().before(DAY).as_micros();
    let sql = match &t.database {
        TestDatabase::Sqlite(_) => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {sessions}) \
             INSERT INTO cf_sessions (id, revision, user_id, generation, secret_sealed, by_password, expires_at, ends_at, sweep_at, created_at, updated_at) \
             SELECT unhex(printf('%012x', i) || hex(randomblob(10))), 1, x'{user}', 1, randomblob(32), 0, {yesterday}, {yesterday}, {yesterday}, 0, 0 FROM n;",
            user = user_id.replace('-', ""),
        ),
        TestDatabase::Postgres(_) => format!(
            "INSERT INTO cf_sessions (id, revision, user_id, generation, secret_sealed, by_password, expires_at, ends_at, sweep_at, created_at, updated_at) \
             SELECT id, 1, '{user_id}', 1, decode(md5(id::text) || md5(i::text), 'hex'), false, at, at, at, at, at \
             FROM (SELECT substr(lpad(to_hex(i), 12, '0') || md5(i::text), 1, 32)::uuid AS id, i, to_timestamp({yesterday} / 1000000.0) AS at FROM generate_series(1, {sessions}) i) s;",
        ),
    };
    t.database.execute(&sql).await;
    if matches!(t.database, TestDatabase::Sqlite(_)) {
        // No server writes this much in one transaction, and the next commit would pay for the checkpoint.
        t.database.execute("PRAGMA wal_checkpoint(TRUNCATE);").await;
    }
}

#[both(options = ["--sweep-interval", "20ms"])]
async fn invitations_that_expired_30_days_ago_go_and_leave_an_event(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let (old, _) = t.invitation(&acme, "old@example.com", "member").await;
    t.advance(DAY);
    t.invitation(&acme, "new@example.com", "member").await;
    t.advance(29 * DAY);
    assert_eq!(count(&t, "cf_invitations").await, 2);
    t.advance(7 * DAY);
    t.advance(Duration::from_secs(1));
    becomes(&t, "cf_invitations", 1).await;
    let request = pb::ListEventsRequest { resource_id: old.id, ..Default::default() };
    let events = t.admin().events().list_events(request).await.answered().events;
    assert!(events.iter().any(|event| event.action == "invitation.expired"));
}

#[both(options = ["--sweep-interval", "20ms"])]
async fn expired_sessions_go_and_live_ones_stay(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, live) = t.session(&ada).await;
    let (rotated, _) = t.rotate(&live).await.unwrap();
    let (old, text) = t.session(&ada).await;
    t.rotate(&text).await.unwrap();
    let last = newest(&t.admin()).await;
    assert_eq!(count(&t, "cf_sessions").await, 2);
    expired_sessions(&t, &ada.id, 2_500).await;
    becomes(&t, "cf_sessions", 2).await;
    // The sessions of now are over after their tokens' life, and go at the end of that day.
    t.advance(DAY * 29);
    let again = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().refresh_tokens().create_refresh_token(again).await.unwrap();
    t.advance(DAY * 3);
    becomes(&t, "cf_sessions", 1).await;
    // No response depends on it, so it leaves no event.
    assert_eq!(since(&t.admin(), last).await.len(), 1);
    assert_ne!(rotated.id, old.id);
}

#[both(options = ["--sweep-interval", "20ms", "--restore-window", "1d"])]
async fn tombstones_go_with_all_that_hangs_on_them(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    t.organization_key(&acme).await;
    t.user_key(&bob).await;
    t.session(&bob).await;
    t.oauth_account(&bob).await;
    let admin = t.admin();
    admin
        .organizations()
        .delete_organization(pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() })
        .await
        .unwrap();
    admin.users().delete_user(pb::DeleteUserRequest { user_id: bob.id.clone(), ..Default::default() }).await.unwrap();
    let last = newest(&admin).await;
    t.advance(Duration::from_mins(24 * 60 - 1));
    // When the second one is swept, a whole sweep has passed since the first.
    for _ in 0..2 {
        expired_sessions(&t, &ada.id, 1).await;
        becomes(&t, "cf_sessions", 1).await;
    }
    assert_eq!((count(&t, "cf_users").await, count(&t, "cf_organizations").await), (3, 1));
    t.advance(Duration::from_mins(2));
    becomes(&t, "cf_organizations", 0).await;
    becomes(&t, "cf_users", 2).await;
    for (table, rows) in [("cf_memberships", 0), ("cf_api_keys", 1), ("cf_oauth_accounts", 0), ("cf_sessions", 0)] {
        assert_eq!(count(&t, table).await, rows, "{table}");
    }
    let events = since(&admin, last).await;
    let mut reported = actions(&events);
    reported.sort_unstable();
    assert_eq!(
        reported,
        [
            "api_key.deleted",
            "api_key.deleted",
            "membership.deleted",
            "membership.deleted",
            "oauth_account.unlinked",
            "organization.purged",
            "user.purged"
        ],
    );
    assert!(events.iter().all(|event| event.actor.as_ref().unwrap().kind() == pb::ActorKind::System));
}

#[both(options = ["--sweep-interval", "20ms", "--event-retention", "1h", "--request-memory", "1h"])]
async fn old_events_and_answers_go_and_old_cursors_say_so(t: Arc<Test>) {
    let start = Watch::from_now(&t.admin()).await.cursor;
    let request = pb::CreateUserRequest {
        email: "a@example.com".to_owned(),
        name: "X".to_owned(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..Default::default()
    };
    t.admin().users().create_user(request).await.unwrap();
    assert_eq!(count(&t, "cf_remembered_answers").await, 1);
    let kept = Watch::from_now(&t.admin()).await.cursor;
    t.advance(Duration::from_mins(61));
    becomes(&t, "cf_events", 0).await;
    becomes(&t, "cf_remembered_answers", 0).await;
    let resume = |cursor: &str| pb::WatchEventsRequest { cursor: cursor.to_owned(), ..Default::default() };
    let late = t.admin().events().watch_events(resume(&start)).await;
    crate::support::refused(late, pb::ErrorReason::EventCursorExpired);
    // A subscriber who has seen all of them continues.
    let mut watch = Watch::open(&t.admin(), resume(&kept)).await.unwrap();
    let ada = t.user("ada").await;
    assert_eq!(watch.event().await.resource_id, ada.id);
}

#[both(options = ["--sweep-interval", "0s"])]
async fn without_sweeps_everything_stays(t: Arc<Test>) {
    let ada = t.user("ada").await;
    expired_sessions(&t, &ada.id, 10).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&t, "cf_sessions").await, 10);
}

/// The sorted durations of the writes of eight clients until the flag is set.
async fn writes(t: &Arc<Test>, user: &pb::User, until: &Arc<AtomicBool>) -> Vec<Duration> {
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (t, user, until) = (Arc::clone(t), user.clone(), Arc::clone(until));
            tokio::spawn(async move {
                let mut took = Vec::new();
                while !until.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    t.session(&user).await;
                    took.push(begun.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.unwrap());
    }
    took.sort_unstable();
    took
}

/// The slowest write during a sweep of many expired tokens, compared with the slowest without one.
#[both(long)]
async fn slow_a_sweep_of_a_million_keeps_no_write_waiting(backend: Backend) {
    run(backend, &["--sweep-interval", "1s"], |t| async move {
        let ada = t.user("ada").await;
        let over = Arc::new(AtomicBool::new(false));
        let twenty_seconds = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            over.store(true, Ordering::SeqCst);
        };
        let (without, ()) = tokio::join!(writes(&t, &ada, &over), twenty_seconds);

        expired_sessions(&t, &ada.id, 1_000_000).await;
        let swept = Arc::new(AtomicBool::new(false));
        let all_gone = async {
            let begun = Instant::now();
            let expired = match &t.database {
                TestDatabase::Sqlite(_) => {
                    "SELECT CAST(count(*) AS text) AS value FROM cf_sessions WHERE created_at = 0"
                }
                TestDatabase::Postgres(_) => "SELECT count(*)::text FROM cf_sessions WHERE created_at = expires_at",
            };
            while t.database.texts(expired).await != ["0"] {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            swept.store(true, Ordering::SeqCst);
            begun.elapsed()
        };
        let (beside, took) = tokio::join!(writes(&t, &ada, &swept), all_gone);
        let of = |all: &[Duration], part: usize| all[(all.len() - 1) * part / 1000];
        for (what, all) in [("without a sweep", &without), ("during a sweep", &beside)] {
            println!(
                "{backend:?} {what}: {} writes of 8 clients, median {:?}, 99.9 % {:?}, longest {:?}",
                all.len(),
                of(all, 500),
                of(all, 999),
                of(all, 1000),
            );
        }
        println!("{backend:?}: 1,000,000 expired tokens swept in {took:?}");
    })
    .await;
}
