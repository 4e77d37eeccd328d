//! SQLite in WAL mode: one writer connection and several readers; every commit is synced to disk.

use std::{
    error::Error as StdError,
    fs,
    future::poll_fn,
    io,
    ops::{Deref, DerefMut},
    path::Path,
    pin::Pin,
    time::Duration,
};

use ::bb8::QueueStrategy;
use diesel::{
    Connection as _, ConnectionError, ConnectionResult, QueryResult, QueryableByName, RunQueryDsl as _,
    connection::SimpleConnection as _,
    sql_query,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};
use diesel_async::{
    AsyncConnection, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8},
    sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper},
};

use super::{
    error::pool_error,
    group::{Member, Writer},
    statements, to_error,
};
use crate::{config::DatabaseArgs, error::Result};

/// Maximum page cache of a connection. It grows only as pages are read.
const READER_CACHE_KIB: u32 = 8 * 1024;
const WRITER_CACHE_KIB: u32 = 64 * 1024;
/// Written pages after which the WAL is checkpointed. A page that is written many times is copied to the file once.
const CHECKPOINT_PAGES: u32 = 8000;

/// An async SQLite connection.
pub(super) type SqliteConn = SyncConnectionWrapper<SqliteConnection, InPlace>;

/// A pooled reader, or the writer in a transaction.
pub(crate) enum Handle {
    Reader(bb8::PooledConnection<'static, SqliteConn>),
    Writer(Member),
}

impl Deref for Handle {
    type Target = SqliteConn;

    fn deref(&self) -> &SqliteConn {
        match self {
            Self::Reader(pooled) => pooled,
            Self::Writer(member) => member,
        }
    }
}

impl DerefMut for Handle {
    fn deref_mut(&mut self) -> &mut SqliteConn {
        match self {
            Self::Reader(pooled) => pooled,
            Self::Writer(member) => member,
        }
    }
}

/// How a connection's work runs on its thread. A point read from the page cache, or a write to it, takes microseconds, less than handing it
/// to another thread. Work that may take longer, or waits for the disk, lets the runtime move other tasks off the thread. Either way, a
/// statement that has begun finishes before its future can be dropped.
#[derive(Clone, Copy)]
pub(crate) enum InPlace {
    Short,
    Long,
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
            Self::Short => task(),
            Self::Long => tokio::task::block_in_place(task),
        };
        Box::pin(std::future::ready(Ok(done)))
    }

    fn get_runtime() -> Self {
        Self::Long
    }
}

/// Runs several statements. The runtime moves other tasks off the thread once, instead of once per statement.
pub(super) async fn in_place<T>(mut statements: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    poll_fn(|context| tokio::task::block_in_place(|| statements.as_mut().poll(context))).await
}

#[derive(Clone)]
pub(super) struct Pools {
    writer: Writer,
    /// For reads of a few rows.
    points: bb8::Pool<SqliteConn>,
    /// For reads of many rows, which delay only each other.
    scans: bb8::Pool<SqliteConn>,
}

impl Pools {
    pub(super) async fn open(path: &Path, settings: &DatabaseArgs) -> std::result::Result<Self, String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("cannot open the database file {}: {error}", path.display());
        create(path).map_err(|error| failed(&error))?;
        let timeout = settings.database_timeout;
        // The connection that was used last comes first: few have a cache then, and those have what is read often.
        let pool = async |mode: InPlace, size: u32| {
            let pool = bb8::Pool::builder().max_size(size).queue_strategy(QueueStrategy::Lifo);
            pool.connection_timeout(timeout).build(manager(path, mode, timeout)).await
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        // A point read does not wait, so there are never more at once than threads.
        let points = pool(InPlace::Short, cores).await.map_err(|error| failed(&error))?;
        let scans = pool(InPlace::Long, settings.database_connections).await.map_err(|error| failed(&error))?;
        let writer = Writer::open(path, timeout).map_err(|error| failed(&error))?;
        // Opens a reader now, so that a problem with the file shows at start and not at the first call.
        connect(&path.to_string_lossy(), Access::Read, timeout).map_err(|error| failed(&error))?;
        Ok(Self { writer, points, scans })
    }

    pub(super) async fn begin(&self) -> Result<Handle> {
        self.writer.begin().await.map(Handle::Writer)
    }

    pub(super) async fn truncate_log(&self) -> Result<bool> {
        self.writer.truncate_log().await
    }

    pub(super) async fn point(&self) -> Result<Handle> {
        self.points.get_owned().await.map(Handle::Reader).map_err(pool_error)
    }

    pub(super) async fn scan(&self) -> Result<Handle> {
        // A scan blocks its thread. The yield makes `transport` move the call from its connection's task to one of its own.
        tokio::task::yield_now().await;
        self.scans.get_owned().await.map(Handle::Reader).map_err(pool_error)
    }

    /// A reader whose reads all see one snapshot.
    pub(super) async fn snapshot(&self) -> Result<Handle> {
        let mut connection = self.scan().await?;
        <SqliteConn as AsyncConnection>::TransactionManager::begin_transaction(&mut *connection)
            .await
            .map_err(to_error)?;
        Ok(connection)
    }
}

impl Handle {
    pub(super) async fn commit(self) -> Result<()> {
        match self {
            Self::Reader(_) => Err(to_error(diesel::result::Error::NotInTransaction)),
            Self::Writer(member) => member.commit().await,
        }
    }

    pub(super) async fn rollback(self) -> Result<()> {
        match self {
            Self::Reader(mut pooled) => {
                <SqliteConn as AsyncConnection>::TransactionManager::rollback_transaction(&mut *pooled)
                    .await
                    .map_err(to_error)
            }
            Self::Writer(member) => member.rollback().await,
        }
    }
}

/// Creates the file, readable only by its owner, and its directory.
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
        let connection = connect(path, Access::Read, timeout);
        Box::pin(std::future::ready(connection.map(|connection| SyncConnectionWrapper::with_runtime(connection, mode))))
    });
    AsyncDieselConnectionManager::new_with_config(path.to_string_lossy(), config)
}

/// The access mode of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens a connection that waits at most `timeout` for a lock. Settings are per connection, not per file, so each connection sets them and
/// reads them back.
pub(super) fn connect(path: &str, access: Access, timeout: Duration) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path)?;
    let timeout = timeout.as_millis();
    let query_only = i64::from(access == Access::Read);
    let cache_kib = if access == Access::Read { READER_CACHE_KIB } else { WRITER_CACHE_KIB };
    let set = || -> QueryResult<Pragmas> {
        // Set first: switching to WAL takes a lock that another process may hold briefly.
        connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout};"))?;
        connection.batch_execute(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON; PRAGMA query_only = {query_only}; PRAGMA cache_size = -{cache_kib}; \
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
        ))?;
        sql_query(Pragmas::QUERY).get_result(&mut connection)
    };
    let mut set = set;
    let found = set().map_err(ConnectionError::CouldntSetupConfiguration)?;
    let wanted = Pragmas { journal_mode: "wal".to_owned(), synchronous: 2, foreign_keys: 1, query_only };
    if found == wanted {
        if let Some(noted) = statements::instrumentation() {
            connection.set_instrumentation(noted);
        }
        Ok(connection)
    } else {
        Err(ConnectionError::BadConnection(format!(
            "SQLite did not accept its settings: wanted {wanted:?}, found {found:?}"
        )))
    }
}

/// The settings that durability and integrity depend on.
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
