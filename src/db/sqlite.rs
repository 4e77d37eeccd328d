//! SQLite: one writing connection and several reading ones, in WAL mode, every commit synced to disk.

use std::{
    error::Error as StdError,
    fs, io,
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

/// Most memory that a connection keeps pages in. It takes no more than it has read.
const READER_CACHE_KIB: u32 = 8 * 1024;
const WRITER_CACHE_KIB: u32 = 64 * 1024;
/// After how many written pages the log is brought into the file. Pages that are written again and again go there once.
const CHECKPOINT_PAGES: u32 = 8000;

/// A SQLite connection in async code.
pub(super) type SqliteConn = SyncConnectionWrapper<SqliteConnection, InPlace>;

/// A connection: a reading one of a pool, or the writing one in a transaction.
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

/// Where a connection's work runs. A point read from the page cache, and a write to it, take microseconds, less than handing them
/// to another thread. What may take longer, and what waits for the disk, lets the runtime go on elsewhere meanwhile. Either way a
/// statement, once begun, ends before its future can be dropped.
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

#[derive(Clone)]
pub(super) struct Pools {
    writer: Writer,
    /// For reads of a few rows.
    points: bb8::Pool<SqliteConn>,
    /// For reads of many: they hold up each other and nobody else.
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
        // A point read does not wait for anything, so there are never more at once than threads.
        let points = pool(InPlace::Short, cores).await.map_err(|error| failed(&error))?;
        let scans = pool(InPlace::Long, settings.database_connections).await.map_err(|error| failed(&error))?;
        let writer = Writer::open(path, timeout).map_err(|error| failed(&error))?;
        // Opens a reading one now: what is wrong with the file is told at start and not with the first call.
        connect(&path.to_string_lossy(), Access::Read, timeout).map_err(|error| failed(&error))?;
        Ok(Self { writer, points, scans })
    }

    pub(super) async fn begin(&self) -> Result<Handle> {
        self.writer.begin().await.map(Handle::Writer)
    }

    pub(super) async fn point(&self) -> Result<Handle> {
        self.points.get_owned().await.map(Handle::Reader).map_err(pool_error)
    }

    pub(super) async fn scan(&self) -> Result<Handle> {
        // It holds up the task it is on: whoever shares that begins one of its own for what waits (see `transport`).
        tokio::task::yield_now().await;
        self.scans.get_owned().await.map(Handle::Reader).map_err(pool_error)
    }

    /// A reading connection whose reads all see one state.
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
        let connection = connect(path, Access::Read, timeout);
        Box::pin(std::future::ready(connection.map(|connection| SyncConnectionWrapper::with_runtime(connection, mode))))
    });
    AsyncDieselConnectionManager::new_with_config(path.to_string_lossy(), config)
}

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens a connection that waits so long for a lock. Its settings belong to the connection, not to the file, so each sets them and
/// reads them back.
pub(super) fn connect(path: &str, access: Access, timeout: Duration) -> ConnectionResult<SqliteConnection> {
    let mut connection = SqliteConnection::establish(path)?;
    let timeout = timeout.as_millis();
    let query_only = i64::from(access == Access::Read);
    let cache_kib = if access == Access::Read { READER_CACHE_KIB } else { WRITER_CACHE_KIB };
    let set = || -> QueryResult<Pragmas> {
        // First of all: switching to WAL takes a lock that another process may hold for a moment.
        connection.batch_execute(&format!("PRAGMA busy_timeout = {timeout};"))?;
        connection.batch_execute(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA temp_store = MEMORY; PRAGMA query_only = {query_only}; PRAGMA cache_size = -{cache_kib}; \
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
        ))?;
        sql_query(Pragmas::QUERY).get_result(&mut connection)
    };
    let mut set = set;
    let found = set().map_err(ConnectionError::CouldntSetupConfiguration)?;
    let wanted = Pragmas { journal_mode: "wal".to_owned(), synchronous: 2, foreign_keys: 1, query_only };
    if found == wanted {
        if let Some(noted) = statements::noted() {
            connection.set_instrumentation(noted);
        }
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
