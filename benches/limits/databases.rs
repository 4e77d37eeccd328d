//! Bare statements on the same rows that the service reads and writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{Connection as _, RunQueryDsl as _, connection::SimpleConnection as _, sql_types};
use tokio_postgres::{Client, Statement, types::ToSql};
use uuid::Uuid;

use crate::{
    load::{IN_FLIGHT, WARM_UP},
    support::database::{self, TestDatabase},
};

/// Number of shared connections for pipelined reads.
const READ_CONNECTIONS: usize = 2;

const SELECT_USER: &str = "SELECT id, revision, email, email_normalized, name, avatar_url, email_verified_at, is_platform_admin, \
     state, metadata, deleted_at, created_at, updated_at FROM cf_users WHERE id = $1 AND deleted_at IS NULL";

/// Throughput of bare statements, per second.
pub struct Bare {
    /// Reads of a user by id.
    pub select: f64,
    /// Inserts of a user, one per transaction; on SQLite with an event, on PostgreSQL without.
    pub insert: f64,
}

/// A connection with its statement.
type Prepared = (Client, Statement);

/// Measures the statements on a migrated database.
pub async fn measure(database: &TestDatabase, lasting: Duration) -> Bare {
    match database {
        TestDatabase::Sqlite(_) => sqlite(database.url().trim_start_matches("sqlite:"), lasting),
        TestDatabase::Postgres(name) => {
            Bare { select: postgres_select(name, lasting).await, insert: postgres_insert(name, lasting).await }
        }
    }
}

async fn postgres_select(name: &str, lasting: Duration) -> f64 {
    let id = Uuid::now_v7();
    let setup = database::connect(name).await;
    setup.execute(POSTGRES_INSERT, &NewUser(id, email()).each()).await.expect("a user can be inserted");
    let mut clients = Vec::new();
    for _ in 0..READ_CONNECTIONS {
        let client = database::connect(name).await;
        let statement = client.prepare(SELECT_USER).await.expect("the statement can be prepared");
        clients.push(Arc::new((client, statement)));
    }
    concurrently(lasting, &clients, move |client| async move {
        let (client, statement) = &*client;
        assert_eq!(client.query(statement, &[&id]).await.expect("the user can be read").len(), 1);
    })
    .await
}

const POSTGRES_INSERT: &str = "INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, \
     created_at, updated_at) VALUES ($1, 1, $2, $2, 'A name', false, 'active', '{}', now(), now())";

struct NewUser(Uuid, String);

impl NewUser {
    fn each(&self) -> [&(dyn ToSql + Sync); 2] {
        [&self.0, &self.1]
    }
}

/// A random address, so that inserts spread over the index as those of real users do.
pub fn email() -> String {
    format!("{}@example.com", Uuid::new_v4().simple())
}

async fn postgres_insert(name: &str, lasting: Duration) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..IN_FLIGHT {
        let client = database::connect(name).await;
        let statement = client.prepare(POSTGRES_INSERT).await.expect("the statement can be prepared");
        clients.push(Arc::new((client, statement)));
    }
    concurrently(lasting, &clients, |client| async move {
        let (client, statement) = &*client;
        let id = Uuid::now_v7();
        client.execute(statement, &NewUser(id, email()).each()).await.expect("a user can be inserted");
    })
    .await
}

/// Runs `work` in [`IN_FLIGHT`] tasks. Returns runs per second.
async fn concurrently<W, F>(lasting: Duration, clients: &[Arc<Prepared>], work: W) -> f64
where
    W: Fn(Arc<Prepared>) -> F + Copy + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (counting, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let count = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|at| {
            let (counting, stop, count) = (counting.clone(), stop.clone(), count.clone());
            let client = Arc::clone(&clients[at % clients.len()]);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    work(Arc::clone(&client)).await;
                    count.fetch_add(u64::from(counting.load(Ordering::Relaxed)), Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(lasting).await;
    let done = count.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a statement does not fail");
    }
    done as f64 / lasting.as_secs_f64()
}

/// Columns of a user in SQLite.
#[derive(diesel::QueryableByName)]
struct User {
    #[diesel(sql_type = sql_types::Text)]
    #[expect(dead_code, reason = "the service reads it too")]
    email: String,
    #[diesel(sql_type = sql_types::Text)]
    #[expect(dead_code, reason = "the service reads it too")]
    metadata: String,
}

fn sqlite(file: &str, lasting: Duration) -> Bare {
    let mut connection = diesel::SqliteConnection::establish(file).expect("the file can be opened");
    connection
        .batch_execute("PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .expect("SQLite accepts the settings");
    let mut id = Uuid::now_v7();
    let insert = repeatedly(lasting, || {
        id = Uuid::now_v7();
        connection.batch_execute("BEGIN IMMEDIATE").expect("a transaction begins");
        diesel::sql_query(
            "INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, created_at, \
             updated_at) VALUES (?1, 1, ?2, ?2, 'A name', 0, 'active', '{}', ?3, ?3)",
        )
        .bind::<sql_types::Binary, _>(id.as_bytes().to_vec())
        .bind::<sql_types::Text, _>(email())
        .bind::<sql_types::BigInt, _>(1_700_000_000_000_000)
        .execute(&mut connection)
        .expect("a user can be inserted");
        diesel::sql_query(
            "INSERT INTO cf_events (id, created_at, action, actor_kind, actor_user_id, actor_api_key_id, user_id, resource_type, \
             resource_id, revision, details) VALUES (?1, ?2, 'user.created', 'platform_admin', ?1, ?1, ?1, 'user', ?1, 1, ?3)",
        )
        .bind::<sql_types::Binary, _>(id.as_bytes().to_vec())
        .bind::<sql_types::BigInt, _>(1_700_000_000_000_000)
        .bind::<sql_types::Binary, _>(vec![7; 250])
        .execute(&mut connection)
        .expect("an event can be inserted");
        connection.batch_execute("COMMIT").expect("a transaction commits");
    });
    // One reader per core, since SQLite runs on the calling thread.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let readers: Vec<_> = (0..cores)
        .map(|_| {
            let mut connection = diesel::SqliteConnection::establish(file).expect("the file can be opened");
            std::thread::spawn(move || {
                repeatedly(lasting, || {
                    let found: Vec<User> = diesel::sql_query(SELECT_USER.replace("$1", "?1"))
                        .bind::<sql_types::Binary, _>(id.as_bytes().to_vec())
                        .load(&mut connection)
                        .expect("the user can be read");
                    assert_eq!(found.len(), 1);
                })
            })
        })
        .collect();
    let select = readers.into_iter().map(|reader| reader.join().expect("a reader does not fail")).sum();
    Bare { select, insert }
}

fn repeatedly(lasting: Duration, mut work: impl FnMut()) -> f64 {
    let until = Instant::now() + lasting;
    let mut done = 0_u32;
    while Instant::now() < until {
        work();
        done += 1;
    }
    f64::from(done) / lasting.as_secs_f64()
}
