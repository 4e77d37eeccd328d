//! Pools, connections, transactions, column types and migrations. Only this module knows that there are two databases.
//!
//! A [`Conn`] is a connection to either database. Repositories write a query once, and `query!` expands it for both: a query that one of
//! them does not support does not compile.
//!
//! Every function that uses the database fails with [`Error::Unavailable`] if it cannot be reached.

mod changes;
mod counted;
mod dispatch;
mod entries;
mod erasing;
mod error;
pub mod fault;
mod first_events;
mod group;
mod locking;
pub mod migrations;
mod pipeline;
mod postgres;
mod prepared;
pub mod reads;
pub(crate) mod schema;
mod sqlite;
mod statements;
mod tls;
pub(crate) mod types;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use counted::Counted;
pub(crate) use dispatch::{execute, first, on_postgres, queries, query};
pub(crate) use entries::StoreEntries;
pub(crate) use error::to_error;
pub(crate) use first_events::FirstEvents;
pub(crate) use locking::{ForUpdate, KeepingSelected};
pub(crate) use prepared::Prepared;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
pub(crate) use statements::{boxed, in_span};
use tokio::sync::Notify;

use crate::{
    config::{DatabaseArgs, DatabaseUrl},
    error::{Error, Result},
    models::{Action, Change, Grant, Person, stored::StoredText as _},
    security::random,
    telemetry::metrics::seconds,
};

/// Number of attempts before a transaction's conflict is returned to the caller.
const TRANSACTION_ATTEMPTS: u32 = 5;

/// A cloneable handle to the database's connection pools and metrics.
#[derive(Clone)]
pub struct Database {
    pools: Pools,
    committed: Arc<Notify>,
    waits: Histogram,
    events: Family<[(&'static str, String); 1], Counter>,
}

#[derive(Clone)]
enum Pools {
    Sqlite(sqlite::Pools),
    Postgres(postgres::Pools),
}

/// A connection to either database. It has no lifetime parameter, so that a transaction's closure is `Send`.
///
/// Repositories record their changes on it; a transaction with changes that have not become events does not commit.
pub struct Conn {
    pub(crate) handle: Handle,
    changes: Vec<Change>,
    /// Actions of the events written in this transaction.
    actions: Vec<Action>,
    /// Authority that may be granted in this transaction, or for its current item.
    granted: Vec<Grant>,
    /// Number of changes of items that have ended.
    settled: usize,
    /// Persons whom this transaction erases.
    erasing: Vec<Person>,
}

/// The variants that `query!` dispatches on.
pub(crate) enum Handle {
    Sqlite(sqlite::Handle),
    Postgres(postgres::Handle),
}

/// The body of a transaction: an async closure that takes a [`Conn`]. It is `Copy`, because it may run again; a closure that only borrows
/// is. The trait names the closure's future so that callers can require it to be `Send`.
pub trait Work<Tx, Done>: AsyncFnOnce(Tx) -> Done + FnOnce(Tx) -> <Self as Work<Tx, Done>>::Running {
    /// The closure's future.
    type Running: Future<Output = Done>;
}

impl<F, Tx, Done, Running> Work<Tx, Done> for F
where
    F: AsyncFnOnce(Tx) -> Done + FnOnce(Tx) -> Running,
    Running: Future<Output = Done>,
{
    type Running = Running;
}

impl Database {
    /// Opens the pools. PostgreSQL must respond; a SQLite file is created if it does not exist.
    ///
    /// # Errors
    /// A one-line description of the problem.
    pub async fn open(settings: &DatabaseArgs, statement_timeout: Duration) -> std::result::Result<Self, String> {
        let pools = match &settings.database_url {
            DatabaseUrl::Sqlite(path) => Pools::Sqlite(sqlite::Pools::open(path, settings).await?),
            DatabaseUrl::Postgres(url) => {
                Pools::Postgres(postgres::Pools::open(url, settings, statement_timeout).await?)
            }
        };
        Ok(Self { pools, committed: Arc::default(), waits: seconds(), events: Family::default() })
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time that transactions waited for a connection and, on SQLite, for the writer";
        registry.register("pool_wait_seconds", help, self.waits.clone());
        registry.register("events", "Committed events, by action", self.events.clone());
    }

    /// Checks that the database responds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<()> {
        self.read(async |conn| {
            query!(conn, c => diesel_async::RunQueryDsl::execute(diesel::sql_query("SELECT 1"), c)).map(drop)
        })
        .await
    }

    /// Runs short reads of a few rows each. On PostgreSQL concurrent reads are pipelined on shared connections; on SQLite they run on the
    /// calling task. Reads that fail because their connection was lost are retried on another one, at most once per shared connection.
    ///
    /// # Errors
    /// Errors of `work`; [`Error::Unavailable`] if no connection is available in time.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        for<'c> F: Work<&'c mut Conn, Result<T>, Running: Send> + Copy,
    {
        let mut others = match &self.pools {
            Pools::Sqlite(_) => 0,
            Pools::Postgres(pools) => pools.shared(),
        };
        loop {
            let mut conn = self.point().await?;
            match boxed(work(&mut conn)).await {
                Err(Error::Unavailable(_)) if others > 0 && conn.is_closed() => others -= 1,
                done => return done,
            }
        }
    }

    /// Runs reads of many rows. They use separate connections, so that they do not delay short reads.
    ///
    /// # Errors
    /// Errors of `work`; [`Error::Unavailable`] if no connection is available in time.
    pub async fn scan<T, F>(&self, work: F) -> Result<T>
    where
        for<'c> F: Work<&'c mut Conn, Result<T>, Running: Send> + Copy,
    {
        let mut conn = Conn::new(match &self.pools {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.scan().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.scan().await?),
        });
        self.scan_on(&mut conn, work).await
    }

    /// As [`Database::scan`]; with `is_consistent` all reads see the same snapshot. On PostgreSQL a cancelled read discards its connection.
    ///
    /// # Errors
    /// As [`Database::scan`].
    pub async fn scan_consistently<T, F>(&self, is_consistent: bool, work: F) -> Result<T>
    where
        for<'c> F: Work<&'c mut Conn, Result<T>, Running: Send> + Copy,
    {
        if !is_consistent {
            return self.scan(work).await;
        }
        let mut conn = self.snapshot().await?;
        let done = self.scan_on(&mut conn, work).await;
        match conn.handle {
            Handle::Sqlite(handle) => handle.rollback().await?,
            // Nothing depends on its end, which takes a round trip.
            Handle::Postgres(handle) => drop(tokio::spawn(handle.rollback())),
        }
        done
    }

    async fn scan_on<'c, T, F>(&self, conn: &'c mut Conn, work: F) -> Result<T>
    where
        F: Work<&'c mut Conn, Result<T>, Running: Send>,
    {
        let reads = boxed(work(conn));
        if self.is_networked() { reads.await } else { sqlite::in_place(reads).await }
    }

    async fn point(&self) -> Result<Conn> {
        Ok(Conn::new(match &self.pools {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.point().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.point().await?),
        }))
    }

    /// An exclusive connection whose reads all see the same snapshot, taken at the first read. Release it with [`Conn::end`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no connection is available in time.
    pub async fn snapshot(&self) -> Result<Conn> {
        Ok(Conn::new(match &self.pools {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.snapshot().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.snapshot().await?),
        }))
    }

    /// Waits until a transaction of this process has committed events since the last call.
    pub async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Runs `work` in one transaction; every change goes through here. It commits if `work` succeeds and rolls back if it fails. After a
    /// conflict with a concurrent transaction `work` runs again, so it must have no effects outside `tx`.
    ///
    /// Dropping the future before `work` has finished changes nothing; dropping it later leaves the outcome unknown.
    ///
    /// # Errors
    /// Errors of `work`; [`Error::Conflict`] after 5 attempts; [`Error::Unavailable`] if the database cannot be reached.
    pub async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send> + Copy,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(work).await {
                Err(Error::Conflict) if attempt < TRANSACTION_ATTEMPTS => {
                    let [jitter] = random::bytes();
                    tokio::time::sleep(Duration::from_millis(u64::from(jitter % 16) << attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn attempt<T, F>(&self, work: F) -> Result<T>
    where
        for<'tx> F: Work<&'tx mut Conn, Result<T>, Running: Send>,
    {
        let started = Instant::now();
        let begun = match &self.pools {
            Pools::Sqlite(pools) => pools.begin().await.map(Handle::Sqlite),
            Pools::Postgres(pools) => pools.begin().await.map(Handle::Postgres),
        };
        self.waits.observe(started.elapsed().as_secs_f64());
        let mut tx = Conn::new(begun?);
        let done = match boxed(work(&mut tx)).await {
            Ok(_) if !tx.changes.is_empty() => {
                Err(Error::internal("a transaction would commit a change without its event"))
            }
            done => done,
        };
        match done {
            Ok(value) => {
                let actions = std::mem::take(&mut tx.actions);
                tx.commit().await?;
                for action in &actions {
                    self.events.get_or_create(&[("action", action.as_stored().to_owned())]).inc();
                }
                if !actions.is_empty() {
                    self.committed.notify_one();
                }
                Ok(value)
            }
            Err(error) => {
                // The refusal may depend on writes that are lost with the connection. Then the rollback's error is returned instead.
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// True if statements take a network round trip, so that batching rows into one is worth a wait.
    pub fn is_networked(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// The path of a SQLite database.
    pub fn sqlite_file(settings: &DatabaseArgs) -> Option<&Path> {
        match &settings.database_url {
            DatabaseUrl::Sqlite(path) => Some(path),
            DatabaseUrl::Postgres(_) => None,
        }
    }
}

impl Conn {
    fn new(handle: Handle) -> Self {
        Self { handle, changes: Vec::new(), actions: Vec::new(), granted: Vec::new(), settled: 0, erasing: Vec::new() }
    }

    /// Ends a snapshot and returns the connection to its pool.
    ///
    /// # Errors
    /// If the connection is broken; it is then discarded.
    pub async fn end(self) -> Result<()> {
        self.rollback().await
    }

    /// Transactions that have written to `cf_events` and have not ended. Always empty on SQLite: with a single writer, events become
    /// visible in order.
    pub(crate) async fn event_writers(&mut self) -> Result<Vec<String>> {
        match &mut self.handle {
            Handle::Sqlite(_) => Ok(Vec::new()),
            Handle::Postgres(handle) => handle.writers_of("cf_events").await.map_err(to_error),
        }
    }

    async fn commit(self) -> Result<()> {
        match self.handle {
            Handle::Sqlite(handle) => handle.commit().await,
            Handle::Postgres(handle) => handle.commit().await,
        }
    }

    async fn rollback(self) -> Result<()> {
        match self.handle {
            Handle::Sqlite(handle) => handle.rollback().await,
            Handle::Postgres(handle) => handle.rollback().await,
        }
    }

    /// True if the connection was lost for reasons unrelated to the query.
    fn is_closed(&self) -> bool {
        matches!(&self.handle, Handle::Postgres(handle) if handle.is_closed())
    }
}
