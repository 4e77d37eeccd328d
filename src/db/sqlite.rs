//! SQLite: one writing connection and several reading ones, in WAL mode, every commit synced to disk.

use std::{error::Error as StdError, fs, io, path::Path, pin::Pin, time::Duration};

use diesel::{
    Connection as _, ConnectionError, ConnectionResult, QueryResult, QueryableByName, RunQueryDsl as _,
    connection::{AnsiTransactionManager, SimpleConnection as _},
    sql_query,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};
use diesel_async::{
    AsyncConnection, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8},
    sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper},
};

use tokio::time::Instant;

use super::{
    error::{is_busy, pool_error},
    to_error,
};
use crate::{config::DatabaseArgs, error::Result, security::random};

/// A SQLite connection in async code.
pub(super) type SqliteConn = SyncConnectionWrapper<SqliteConnection, InPlace>;
/// One taken from its pool.
pub(crate) type Pooled = bb8::PooledConnection<'static, SqliteConn>;

/// Where a connection's work runs: on the thread that asks for it. A read from the page cache takes microseconds, less
/// than handing it to another thread; a write waits for the disk, so the runtime is told to go on elsewhere meanwhile.
/// Either way a statement, once begun, ends before its future can be dropped.
#[derive(Clone, Copy)]
pub(crate) enum InPlace {
    Read,
    Write,
}

impl SpawnBlocking for InPlace {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<R, Box<dyn StdError + Send + Sync>>> + Send + 'a>>
    where
        R: Send + 'static,
    {
        let done = match self {
            Self::Read => task(),
            Self::Write => tokio::task::block_in_place(task),
        };
        Box::pin(std::future::ready(Ok(done)))
    }

    fn get_runtime() -> Self {
        Self::Write
    }
}

#[derive(Clone)]
pub(super) struct Pools {
    writer: bb8::Pool<SqliteConn>,
    readers: bb8::Pool<SqliteConn>,
    timeout: Duration,
}

impl Pools {
    pub(super) async fn open(path: &Path, settings: &DatabaseArgs) -> std::result::Result<Self, String> {
        create(path).map_err(|error| format!("cannot open the database file {}: {error}", path.display()))?;
        let pool = async |mode: InPlace, size: u32| {
            bb8::Pool::builder()
                .max_size(size)
                .connection_timeout(settings.database_timeout)
                .build(manager(path, mode, settings.database_timeout))
                .await
                .map_err(|error| format!("cannot open the database file {}: {error}", path.display()))
        };
        let pools = Self {
            writer: pool(InPlace::Write, 1).await?,
            readers: pool(InPlace::Read, settings.database_connections).await?,
            timeout: settings.database_timeout,
        };
        // Opens one of each now: what is wrong with the file is told at start and not with the first call.
        for mode in [InPlace::Write, InPlace::Read] {
            connect(&path.to_string_lossy(), mode, settings.database_timeout)
                .map_err(|error| format!("cannot open the database file {}: {error}", path.display()))?;
        }
        Ok(pools)
    }

    /// The writing connection, in a transaction that holds the write lock from its start: one that took it only at its
    /// first write could find that what it had read is no longer true.
    ///
    /// Within the process, transactions wait for the connection. Another process may hold the lock too; it is waited for
    /// without holding up a thread, so that the call can still end at its deadline.
    pub(super) async fn begin(&self) -> Result<Pooled> {
        let mut connection = self.writer.get_owned().await.map_err(pool_error)?;
        let give_up = Instant::now() + self.timeout;
        loop {
            let begin = |connection: &mut SqliteConnection| {
                AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")
            };
            match connection.spawn_blocking(begin).await {
                Ok(()) => return Ok(connection),
                Err(error) if is_busy(&error) && Instant::now() < give_up => {
                    let [jitter] = random::bytes();
                    tokio::time::sleep(Duration::from_millis(1 + u64::from(jitter % 16))).await;
                }
                Err(error) => return Err(to_error(error)),
            }
        }
    }

    pub(super) async fn reader(&self) -> Result<Pooled> {
        self.readers.get_owned().await.map_err(pool_error)
    }

    /// A reading connection whose reads all see one state.
    pub(super) async fn snapshot(&self) -> Result<Pooled> {
        let mut connection = self.reader().await?;
        <SqliteConn as AsyncConnection>::TransactionManager::begin_transaction(&mut *connection)
            .await
            .map_err(to_error)?;
        Ok(connection)
    }
}

/// Creates the file, readable by its owner alone, and the directory it is in.
pub(super) fn create(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

fn manager(path: &Path, mode: InPlace, timeout: Duration) -> AsyncDieselConnectionManager<SqliteConn> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |path| {
        // The writing one does not wait inside SQLite: see `begin`.
        let timeout = if matches!(mode, InPlace::Write) { Duration::ZERO } else { timeout };
        let connection = connect(path, mode, timeout);
        Box::pin(std::future::ready(connection.map(|connection| SyncConnectionWrapper::with_runtime(connection, mode))))
    });
    AsyncDieselConnectionManager::new_with_config(path.to_string_lossy(), config)
}

/// Opens a connection. Its settings belong to the connection, not to the file, so each sets them and reads them back.
pub(super) fn connect(path: &str, mode: InPlace, timeout: Duration) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path)?;
    let timeout = timeout.as_millis();
    let query_only = i64::from(matches!(mode, InPlace::Read));
    let set = || -> QueryResult<Pragmas> {
        // First of all: switching to WAL takes a lock that another process may hold for a moment.
        connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout};"))?;
        connection.batch_execute(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA query_only = {query_only};"
        ))?;
        sql_query(Pragmas::QUERY).get_result(&mut connection)
    };
    let mut set = set;
    let found = set().map_err(ConnectionError::CouldntSetupConfiguration)?;
    let wanted = Pragmas { journal_mode: "wal".to_owned(), synchronous: 2, foreign_keys: 1, query_only };
    if found == wanted {
        Ok(connection)
    } else {
        Err(ConnectionError::BadConnection(format!(
            "SQLite did not accept its settings: wanted {wanted:?}, found {found:?}"
        )))
    }
}

/// The settings that durability and integrity rest on.
#[derive(Debug, PartialEq, QueryableByName)]
struct Pragmas {
    #[diesel(sql_type = Text)]
    journal_mode: String,
    #[diesel(sql_type = BigInt)]
    synchronous: i64,
    #[diesel(sql_type = BigInt)]
    foreign_keys: i64,
    #[diesel(sql_type = BigInt)]
    query_only: i64,
}

impl Pragmas {
    const QUERY: &str = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode, \
                         (SELECT synchronous FROM pragma_synchronous) AS synchronous, \
                         (SELECT foreign_keys FROM pragma_foreign_keys) AS foreign_keys, \
                         (SELECT query_only FROM pragma_query_only) AS query_only";
}

pub(super) async fn commit(connection: &mut SqliteConn) -> QueryResult<()> {
    <SqliteConn as AsyncConnection>::TransactionManager::commit_transaction(connection).await
}

pub(super) async fn rollback(connection: &mut SqliteConn) -> QueryResult<()> {
    <SqliteConn as AsyncConnection>::TransactionManager::rollback_transaction(connection).await
}
