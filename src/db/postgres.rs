//! PostgreSQL: one pool of connections for transactions, one for long reads, and a few shared connections on which short reads are
//! pipelined.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use diesel::{
    ConnectionError, ConnectionResult, QueryResult, QueryableByName, pg::Pg, query_builder::QueryFragment, sql_query,
    sql_types::Text,
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    error::{is_lost, pool_error},
    pipeline::{MapError, Pipeline},
    prepared::Prepared,
    statements, tls, to_error,
};
use crate::{
    config::DatabaseArgs,
    error::{Error, Result, chain},
};

/// Maximum time that sent data may remain unacknowledged.
const SILENCE: Duration = Duration::from_secs(20);

/// An exclusive connection of a pool, or a shared one.
pub(crate) enum Handle {
    Own(Pipeline),
    Shared(Arc<Connection>),
}

/// A connection with its state, whether pooled or shared.
pub(crate) struct Connection {
    pub(super) inner: AsyncPgConnection,
    /// Set when the server or the network has closed it.
    closed: Arc<AtomicBool>,
    /// Set while a transaction is open. If it is still set when the connection is returned, the connection is discarded, and the server
    /// rolls back.
    pub(super) in_transaction: AtomicBool,
    /// Statements known to be prepared.
    pub(super) prepared: super::pipeline::PreparedTexts,
}

impl Connection {
    /// True if it can no longer be used.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Maps an error of a statement on this connection. The error may reveal that the connection is lost before the driver notices.
    pub(super) fn to_error(&self, error: diesel::result::Error) -> Error {
        if is_lost(&error) {
            self.closed.store(true, Ordering::Release);
        }
        to_error(error)
    }
}

impl Handle {
    /// The connection, to send one statement on.
    pub(crate) fn connection(&self) -> &AsyncPgConnection {
        match self {
            Self::Own(own) => &own.connection().inner,
            Self::Shared(shared) => &shared.inner,
        }
    }

    /// True if it is a shared connection that has been lost.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Shared(shared) if shared.is_closed())
    }

    /// Sends deferred statements, so that a read sees their effects.
    pub(crate) async fn before_read(&mut self) -> Result<()> {
        match self {
            Self::Own(own) => own.before_read().await,
            Self::Shared(_) => Ok(()),
        }
    }

    /// Maps the error of a failed statement. An earlier statement that was not awaited may be the actual cause.
    pub(crate) async fn failed(&mut self, error: diesel::result::Error) -> Error {
        match self {
            Self::Own(own) => own.failed(error).await,
            Self::Shared(shared) => shared.to_error(error),
        }
    }

    /// Defers a statement until the next read or the commit.
    pub(crate) async fn defer<Q>(&mut self, query: Prepared<Q>, on_error: MapError) -> Result<()>
    where
        Q: QueryFragment<Pg> + Send + 'static,
    {
        match self {
            Self::Own(own) => own.defer(query, on_error).await,
            Self::Shared(_) => Err(to_error(diesel::result::Error::NotInTransaction)),
        }
    }

    pub(super) async fn commit(self) -> Result<()> {
        match self {
            Self::Own(own) => own.commit().await,
            Self::Shared(_) => Err(to_error(diesel::result::Error::NotInTransaction)),
        }
    }

    pub(super) async fn rollback(self) -> Result<()> {
        match self {
            Self::Own(own) => own.rollback().await,
            Self::Shared(_) => Err(to_error(diesel::result::Error::NotInTransaction)),
        }
    }

    /// Transactions that hold a row-exclusive lock on a table. A transaction takes it before its first write to the table, and its writes
    /// become visible before it releases the lock.
    pub(super) async fn writers_of(&self, table: &str) -> QueryResult<Vec<String>> {
        #[derive(QueryableByName)]
        struct Writer {
            #[diesel(sql_type = Text)]
            writer: String,
        }
        let query = sql_query(
            "SELECT virtualtransaction AS writer FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' \
             AND relation = $1::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        );
        let query = query.bind::<Text, _>(table);
        let writers: Vec<Writer> = diesel_async::RunQueryDsl::load(query, &mut self.connection()).await?;
        Ok(writers.into_iter().map(|found| found.writer).collect())
    }
}

/// Exclusive connections, handed out in FIFO order. bb8 alone gives a connection to the caller that asks at the right moment, and moves
/// those that came earlier to the end of its queue.
#[derive(Clone)]
struct Pool {
    connections: bb8::Pool<Connector>,
    turns: Arc<Semaphore>,
    timeout: Duration,
}

/// A connection of a pool. Field order matters: the connection is returned before the permit.
pub(super) struct Pooled {
    connection: bb8::PooledConnection<'static, Connector>,
    _turn: OwnedSemaphorePermit,
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Pool {
    async fn open(connector: Connector, settings: &DatabaseArgs) -> ConnectionResult<Self> {
        let (size, timeout) = (settings.database_connections, settings.database_timeout);
        let builder = bb8::Pool::builder().max_size(size).connection_timeout(timeout).test_on_check_out(false);
        let connections = builder.build(connector).await?;
        let turns = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)));
        Ok(Self { connections, turns, timeout })
    }

    async fn get(&self) -> Result<Pooled> {
        in_time(self.timeout, async {
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            let turn = turn.map_err(|closed| Error::Unavailable(Box::new(closed)))?;
            Ok(Pooled { connection: self.connections.get_owned().await.map_err(pool_error)?, _turn: turn })
        })
        .await
    }
}

/// Waits for a connection for at most `timeout`.
async fn in_time<T>(timeout: Duration, connection: impl Future<Output = Result<T>>) -> Result<T> {
    let connection = tokio::time::timeout(timeout, connection).await;
    connection.unwrap_or_else(|elapsed| Err(Error::Unavailable(Box::new(elapsed))))
}

#[derive(Clone)]
pub(super) struct Pools {
    transactions: Pool,
    scans: Pool,
    readers: Arc<Readers>,
}

struct Readers {
    connector: Connector,
    connect_timeout: Duration,
    slots: Vec<Slot>,
    next: AtomicUsize,
}

/// A slot for a shared connection. The caller that finds it closed replaces it, under a lock.
#[derive(Default)]
struct Slot {
    current: std::sync::RwLock<Option<Arc<Connection>>>,
    replacing: Mutex<()>,
}

impl Pools {
    pub(super) async fn open(
        url: &str,
        settings: &DatabaseArgs,
        statement_timeout: Duration,
    ) -> std::result::Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot connect to PostgreSQL: {error}");
        let connector = Connector::new(url, settings.database_timeout, statement_timeout)?;
        let pool = async |connector: Connector| {
            Pool::open(connector, settings).await.map_err(|error| failed(&describe(&error)))
        };
        let transactions = pool(connector.clone()).await?;
        let scans = pool(connector.for_scans()).await?;
        let slots = (0..settings.database_read_connections).map(|_| Slot::default()).collect();
        let readers =
            Readers { connector, connect_timeout: settings.database_timeout, slots, next: AtomicUsize::new(0) };
        readers.get().await.map_err(|error| failed(&chain(&error)))?;
        Ok(Self { transactions, scans, readers: Arc::new(readers) })
    }

    /// An exclusive connection, in a transaction.
    pub(super) async fn begin(&self) -> Result<Handle> {
        own(&self.transactions, "BEGIN").await
    }

    /// An exclusive connection whose reads all see one snapshot.
    pub(super) async fn snapshot(&self) -> Result<Handle> {
        own(&self.scans, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// An exclusive connection for long reads.
    pub(super) async fn scan(&self) -> Result<Handle> {
        Ok(Handle::Own(Pipeline::new(self.scans.get().await?)))
    }

    /// Number of shared connections.
    pub(super) fn shared(&self) -> usize {
        self.readers.slots.len()
    }

    /// A shared connection, for reads of a few rows.
    pub(super) async fn point(&self) -> Result<Handle> {
        self.readers.get().await.map(Handle::Shared)
    }
}

async fn own(pool: &Pool, begin: &'static str) -> Result<Handle> {
    Ok(Handle::Own(Pipeline::in_transaction(pool.get().await?, begin)))
}

impl bb8::ManageConnection for Connector {
    type Connection = Connection;
    type Error = ConnectionError;

    async fn connect(&self) -> ConnectionResult<Connection> {
        Self::connect(self).await
    }

    async fn is_valid(&self, _: &mut Connection) -> ConnectionResult<()> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_closed() || *connection.in_transaction.get_mut()
    }
}

impl Readers {
    /// One of the shared connections, round-robin. A closed one is replaced first.
    async fn get(&self) -> Result<Arc<Connection>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(turn).ok_or_else(|| Error::internal("no shared connection is configured"))?;
        if let Some(connection) = slot.get() {
            return Ok(connection);
        }
        let _alone = slot.replacing.lock().await;
        if let Some(connection) = slot.get() {
            return Ok(connection);
        }
        let connect = async { self.connector.connect().await.map_err(|error| Error::Unavailable(Box::new(error))) };
        // Boxed because it is large and rarely needed.
        let connection = Arc::new(in_time(self.connect_timeout, Box::pin(connect)).await?);
        *slot.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl Slot {
    fn get(&self) -> Option<Arc<Connection>> {
        let current = self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        current.as_ref().filter(|connection| !connection.is_closed()).cloned()
    }
}

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    session: String,
}

impl Connector {
    pub(super) fn new(
        url: &str,
        lock_timeout: Duration,
        statement_timeout: Duration,
    ) -> std::result::Result<Self, String> {
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error| format!("the PostgreSQL URL cannot be read: {error}"))?;
        if config.get_application_name().is_none() {
            config.application_name("tenantry");
        }
        // Detects a network that silently drops packets.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        let tls = tls::connector(config.get_ssl_mode()).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        // Sequential scans are off because no call reads a whole table, however small it was when the statement was planned. Generic plans:
        // a lookup of a few rows by an index is planned once instead of on every execution.
        // Commits are acknowledged only when they are on disk, whatever the server's default, and no wait is unbounded.
        let session = format!(
            "SET synchronous_commit = on; SET lock_timeout = {}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = '60s'; SET enable_seqscan = off; \
             SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan",
            lock_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        Ok(Self { config, tls, session })
    }

    /// A connector for long reads. Their statements are planned for their parameters, which suits lists better. They read in index order
    /// and look up related rows by another index, so that a page ends when it is full; plans that first collect, hash or sort everything
    /// are chosen only if there is no alternative, even before statistics have been collected.
    fn for_scans(&self) -> Self {
        Self {
            session: format!(
                "{}; SET plan_cache_mode = auto; SET enable_hashjoin = off; SET enable_mergejoin = off; \
                 SET enable_material = off; SET enable_sort = off",
                self.session
            ),
            ..self.clone()
        }
    }

    /// Opens a connection and applies the session settings.
    pub(super) async fn connect(&self) -> ConnectionResult<Connection> {
        let (client, connection) = self
            .config
            .connect(self.tls.clone())
            .await
            .map_err(|error| ConnectionError::BadConnection(chain(&error)))?;
        let closed = Arc::new(AtomicBool::new(false));
        let driver = Arc::clone(&closed);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "a PostgreSQL connection ended");
            }
            driver.store(true, Ordering::Release);
        });
        let mut connection = AsyncPgConnection::try_from(client).await?;
        connection.batch_execute(&self.session).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        if let Some(noted) = statements::instrumentation() {
            connection.set_instrumentation(noted);
        }
        Ok(Connection {
            inner: connection,
            closed,
            in_transaction: AtomicBool::new(false),
            prepared: super::pipeline::PreparedTexts::default(),
        })
    }
}

/// Describes a connection error in one line.
pub(super) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::BadConnection(text) => text.clone(),
        error => error.to_string(),
    }
}
