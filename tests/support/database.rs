//! A separate database for each test.

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
};

use tenantry::{
    config::DatabaseArgs,
    db::migrations::{Direction, StartupLock},
};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};

/// The kind of database that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// The database of one test.
pub enum TestDatabase {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

/// The name of the file of a SQLite database.
const FILE: &str = "tenantry.db";

// Migrating once and copying is faster than migrating for each test.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static SQLITE_TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl TestDatabase {
    /// Creates a database with the newest schema.
    pub async fn create(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                std::fs::write(directory.path().join(FILE), SQLITE_TEMPLATE.get_or_init(sqlite_template).await)
                    .unwrap();
                Self::Sqlite(directory)
            }
            Backend::Postgres => {
                let template = TEMPLATE.get_or_init(template).await;
                let name = next_name();
                execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                Self::Postgres(name)
            }
        }
    }

    /// Creates a database without tables.
    pub async fn empty(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::Sqlite(tempfile::tempdir().unwrap()),
            Backend::Postgres => {
                let name = next_name();
                execute(&format!("CREATE DATABASE {name}")).await;
                Self::Postgres(name)
            }
        }
    }

    /// The URL for a server.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", directory.path().join(FILE).display()),
            Self::Postgres(name) => postgres_url(name),
        }
    }

    /// Removes the database. Its server must have stopped.
    pub async fn remove(&self) {
        if let Self::Postgres(name) = self {
            execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }

    /// Runs SQL directly, bypassing the server.
    pub async fn execute(&self, sql: &str) {
        match self {
            Self::Sqlite(_) => {
                use diesel::connection::SimpleConnection as _;
                self.open().batch_execute(sql).unwrap();
            }
            Self::Postgres(name) => connect(name).await.batch_execute(sql).await.unwrap(),
        }
    }

    /// The rows of a query with one text column named `value`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            value: String,
        }
        match self {
            Self::Sqlite(_) => {
                use diesel::RunQueryDsl as _;
                let mut connection = self.open();
                let rows: Vec<Row> = diesel::sql_query(sql).load(&mut connection).unwrap();
                rows.into_iter().map(|row| row.value).collect()
            }
            Self::Postgres(name) => {
                let rows = connect(name).await.query(sql, &[]).await.unwrap();
                rows.into_iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// Every row of every table as text, except the events and the counts of wrong passwords, which even refused calls write, and the index
    /// of search and what is still to be erased, which jobs work on.
    pub async fn rows(&self) -> Vec<String> {
        let tables = match self {
            Self::Sqlite(_) => {
                "SELECT name AS value FROM sqlite_schema WHERE type = 'table' AND name LIKE 'cf\\_%' ESCAPE '\\'"
            }
            Self::Postgres(_) => "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'cf\\_%'",
        };
        let mut rows = Vec::new();
        for table in self
            .texts(tables)
            .await
            .iter()
            .filter(|table| !["cf_events", "cf_sign_in_failures", "cf_erasures"].contains(&table.as_str()))
            .filter(|table| !table.starts_with("cf_search_"))
        {
            let row = match self {
                Self::Sqlite(_) => {
                    let columns = format!("SELECT 'quote(' || name || ')' AS value FROM pragma_table_info('{table}')");
                    self.texts(&columns).await.join(" || ',' || ")
                }
                Self::Postgres(_) => "t::text".to_owned(),
            };
            let found = self.texts(&format!("SELECT {row} AS value FROM {table} t")).await;
            rows.extend(found.into_iter().map(|row| format!("{table}: {row}")));
        }
        rows.sort();
        rows
    }

    /// Waits until the job has moved everything that is pending into the index of search.
    pub async fn indexed(&self) {
        while !self.texts("SELECT 'x' AS value FROM cf_search_pending LIMIT 1").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// All stored bytes: of the SQLite files, or of a dump of all rows.
    pub async fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Sqlite(directory) => {
                let mut bytes = Vec::new();
                for entry in std::fs::read_dir(directory.path()).unwrap() {
                    let path = entry.unwrap().path();
                    // Not the key file, and not the index of the log, which readers write too.
                    if path.ends_with("tenantry.db") || path.ends_with("tenantry.db-wal") {
                        bytes.extend(std::fs::read(path).unwrap());
                    }
                }
                bytes
            }
            Self::Postgres(name) => {
                let client = connect(name).await;
                let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE 'cf\\_%'";
                let mut bytes = Vec::new();
                for table in client.query(tables, &[]).await.unwrap() {
                    let table: String = table.get(0);
                    // The rows as text, with `bytea` in hexadecimal, and additionally the raw bytes of `bytea` columns.
                    for row in client.query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap() {
                        let text: String = row.get(0);
                        bytes.extend(text.as_bytes());
                        bytes.extend(hexadecimal(&text));
                    }
                }
                bytes
            }
        }
    }

    /// Opens a connection to the SQLite file that waits for locks.
    pub fn open(&self) -> diesel::SqliteConnection {
        use diesel::connection::{Connection as _, SimpleConnection as _};
        let mut connection = diesel::SqliteConnection::establish(&self.file()).unwrap();
        connection.batch_execute("PRAGMA busy_timeout = 60000;").unwrap();
        connection
    }

    fn file(&self) -> String {
        self.url().trim_start_matches("sqlite:").to_owned()
    }
}

/// The bytes of all `\x..` sequences in a text.
fn hexadecimal(text: &str) -> Vec<u8> {
    let digits = text.split("\\x").skip(1).flat_map(|part| {
        let digits: Vec<u8> = part.bytes().take_while(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Vec<_>>()
    });
    digits.collect()
}

fn next_name() -> String {
    format!("tenantry_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst))
}

fn postgres_url(name: &str) -> String {
    let base = env::var("TENANTRY_TEST_POSTGRES_URL")
        .expect("TENANTRY_TEST_POSTGRES_URL is not set: run `make test`, or set it to a PostgreSQL server for tests");
    let (base, parameters) = base.split_once('?').map_or((base.as_str(), ""), |(base, rest)| (base, rest));
    let (server, _) = base.rsplit_once('/').expect("TENANTRY_TEST_POSTGRES_URL ends with a database name");
    format!("{server}/{name}?{parameters}")
}

/// Creates the template database with the newest schema.
async fn sqlite_template() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let settings: DatabaseArgs = super::args(&format!("sqlite:{}", path.display()), &[]).database;
    let lock = StartupLock::take(&settings).await.unwrap();
    drop(lock.migrate(&settings, Direction::Up).unwrap());
    let wal = directory.path().join(format!("{FILE}-wal"));
    assert!(!wal.exists(), "everything is in the file");
    std::fs::read(path).unwrap()
}

async fn template() -> String {
    let name = format!("{}_template", next_name());
    execute(&format!("CREATE DATABASE {name}")).await;
    let settings: DatabaseArgs = super::args(&postgres_url(&name), &[]).database;
    let lock = StartupLock::take(&settings).await.unwrap();
    drop(lock.migrate(&settings, Direction::Up).unwrap());
    // The migrating connection is still closing, and a template must have no connections.
    let idle = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    let client = connect("postgres").await;
    while client.query_one(&idle, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    name
}

async fn execute(sql: &str) {
    connect("postgres").await.batch_execute(sql).await.unwrap();
}

pub async fn connect(name: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&postgres_url(name), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
