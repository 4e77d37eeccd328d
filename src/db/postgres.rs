//! PostgreSQL: a pool of connections for transactions, and a few shared ones on which reads are pipelined.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use diesel::{ConnectionError, ConnectionResult, QueryResult, QueryableByName, sql_query, sql_types::Text};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, bb8},
};
use tokio::sync::Mutex;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error::pool_error, tls, to_error};
use crate::{
    config::DatabaseArgs,
    error::{Error, Result, chain},
};

/// A connection: one of the pool, which its holder has alone, or a shared one.
pub(crate) enum Handle {
    Own(Box<bb8::PooledConnection<'static, AsyncPgConnection>>),
    Shared(Arc<Shared>),
}

/// A connection that many reads use at once. It is closed when the server, or the network, has ended it.
pub(crate) struct Shared {
    connection: AsyncPgConnection,
    closed: Arc<AtomicBool>,
}

impl Deref for Handle {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        match self {
            Self::Own(pooled) => pooled,
            Self::Shared(shared) => &shared.connection,
        }
    }
}

impl Handle {
    pub(super) async fn commit(&mut self) -> QueryResult<()> {
        <AsyncPgConnection as AsyncConnection>::TransactionManager::commit_transaction(self.own()?).await
    }

    pub(super) async fn rollback(&mut self) -> QueryResult<()> {
        <AsyncPgConnection as AsyncConnection>::TransactionManager::rollback_transaction(self.own()?).await
    }

    /// The transactions that hold the lock of those who write to a table. A transaction takes it before its first write there,
    /// and what it wrote is seen before it lets go.
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
        let writers: Vec<Writer> = diesel_async::RunQueryDsl::load(query, &mut &**self).await?;
        Ok(writers.into_iter().map(|found| found.writer).collect())
    }

    fn own(&mut self) -> QueryResult<&mut AsyncPgConnection> {
        match self {
            Self::Own(pooled) => Ok(pooled),
            Self::Shared(_) => Err(diesel::result::Error::NotInTransaction),
        }
    }
}

#[derive(Clone)]
pub(super) struct Pools {
    transactions: bb8::Pool<AsyncPgConnection>,
    readers: Arc<Readers>,
}

struct Readers {
    connector: Connector,
    connect_timeout: Duration,
    slots: Vec<Mutex<Option<Arc<Shared>>>>,
    next: AtomicUsize,
}

impl Pools {
    pub(super) async fn open(
        url: &str,
        settings: &DatabaseArgs,
        statement_timeout: Duration,
    ) -> std::result::Result<Self, String> {
        let connector = Connector::new(url, settings.database_timeout, statement_timeout)?;
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let for_pool = connector.clone();
        config.custom_setup = Box::new(move |_| {
            let connector = for_pool.clone();
            Box::pin(async move { connector.connect().await.map(|(connection, _)| connection) })
        });
        let transactions = bb8::Pool::builder()
            .max_size(settings.database_connections)
            .connection_timeout(settings.database_timeout)
            .build(AsyncDieselConnectionManager::new_with_config("", config))
            .await
            .map_err(|error| format!("cannot connect to PostgreSQL: {error}"))?;
        let slots = (0..settings.database_read_connections).map(|_| Mutex::default()).collect();
        let readers =
            Readers { connector, connect_timeout: settings.database_timeout, slots, next: AtomicUsize::new(0) };
        readers.get().await.map_err(|error| format!("cannot connect to PostgreSQL: {}", chain(&error)))?;
        Ok(Self { transactions, readers: Arc::new(readers) })
    }

    /// A connection of its own, in a transaction.
    pub(super) async fn begin(&self) -> Result<Handle> {
        let mut pooled = self.transactions.get_owned().await.map_err(pool_error)?;
        <AsyncPgConnection as AsyncConnection>::TransactionManager::begin_transaction(&mut *pooled)
            .await
            .map_err(to_error)?;
        Ok(Handle::Own(Box::new(pooled)))
    }

    /// A connection of its own whose reads all see one state.
    pub(super) async fn snapshot(&self) -> Result<Handle> {
        let mut pooled = self.transactions.get_owned().await.map_err(pool_error)?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        AnsiTransactionManager::begin_transaction_sql(&mut *pooled, begin).await.map_err(to_error)?;
        Ok(Handle::Own(Box::new(pooled)))
    }

    pub(super) async fn reader(&self) -> Result<Handle> {
        self.readers.get().await.map(Handle::Shared)
    }
}

impl Readers {
    /// One of the shared connections, in turn. A closed one is replaced first.
    async fn get(&self) -> Result<Arc<Shared>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let slot = self.slots.get(turn).ok_or_else(|| Error::internal("no shared connection is configured"))?;
        let mut slot = slot.lock().await;
        if let Some(shared) = slot.as_ref().filter(|shared| !shared.closed.load(Ordering::Acquire)) {
            return Ok(Arc::clone(shared));
        }
        let connect = tokio::time::timeout(self.connect_timeout, self.connector.connect());
        let (connection, closed) = match connect.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(Error::Unavailable(Box::new(error))),
            Err(elapsed) => return Err(Error::Unavailable(Box::new(elapsed))),
        };
        let shared = Arc::new(Shared { connection, closed });
        *slot = Some(Arc::clone(&shared));
        Ok(shared)
    }
}

/// Makes connections.
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
        let tls = tls::connector(config.get_ssl_mode()).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        // A commit is acknowledged only when it is on disk, whatever the server's default; nothing waits without end.
        let session = format!(
            "SET synchronous_commit = on; SET lock_timeout = {}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = '60s'",
            lock_timeout.as_millis(),
            statement_timeout.as_millis(),
        );
        Ok(Self { config, tls, session })
    }

    /// Connects, and tells through the flag when the connection has ended.
    pub(super) async fn connect(&self) -> ConnectionResult<(AsyncPgConnection, Arc<AtomicBool>)> {
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
        Ok((connection, closed))
    }
}

/// What is wrong with a connection, in one line.
pub(super) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::BadConnection(text) => text.clone(),
        error => error.to_string(),
    }
}
