//! The only place that knows there are two databases: pools, connections, transactions, column types, migrations.
//!
//! A [`Conn`] is a connection of either database. Repositories write one query, and `query!` expands it once for each: a
//! query that one of the two cannot do does not compile.

mod changes;
mod error;
pub mod fault;
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

pub(crate) use error::to_error;
pub(crate) use locking::ForUpdate;
pub(crate) use prepared::Prepared;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tokio::sync::Notify;

use crate::{
    config::{DatabaseArgs, DatabaseUrl},
    error::{Error, Result},
    models::{Action, Change, Grant, stored::StoredText as _},
    security::random,
    telemetry::metrics::seconds,
};

/// How often a transaction is tried before its caller learns of the conflict.
const TRANSACTION_ATTEMPTS: u32 = 5;

/// The database.
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

/// A connection of either database. It has no lifetime, so that a transaction's closure is `Send`.
///
/// Repositories note on it what they change; a transaction whose changes did not become events does not commit.
pub struct Conn {
    pub(crate) handle: Handle,
    changes: Vec<Change>,
    /// What its events are of.
    actions: Vec<Action>,
    /// The authority that may be given in this transaction.
    granted: Vec<Grant>,
}

/// What `query!` dispatches on.
pub(crate) enum Handle {
    Sqlite(sqlite::Handle),
    Postgres(postgres::Handle),
}

/// Reads on a PostgreSQL connection: after what was held back for it, and with what a failure then means.
macro_rules! on_postgres {
    ($handle:ident, $c:ident => $read:expr) => {
        match $handle.before_read().await {
            Err(error) => Err(error),
            Ok(()) => {
                let $c = &mut $handle.connection();
                match $read {
                    Ok(done) => Ok(done),
                    Err(error) => Err($handle.failed(error).await),
                }
            }
        }
    };
}

/// Runs a diesel query on either database: `query!(conn, c => users::table.load::<UserRow>(c))`. The expression is expanded
/// once for each, so that its types follow the database; in it `Backend` names diesel's type of that database.
macro_rules! query {
    ($conn:expr, $c:ident => $query:expr) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                #[allow(dead_code, reason = "only boxed queries name it")]
                type Backend = diesel::sqlite::Sqlite;
                let $c = &mut **handle;
                $crate::db::in_span!("sqlite", $query).map_err($crate::db::to_error)
            }
            $crate::db::Handle::Postgres(handle) => {
                #[allow(dead_code, reason = "only boxed queries name it")]
                type Backend = diesel::pg::Pg;
                $crate::db::on_postgres!(handle, $c => $crate::db::in_span!("postgresql", $query))
            }
        }
    };
}

/// Finds one row, or none, by a query whose type says all of its text: `first!(conn, users::table.filter(..).select(..))`. On
/// SQLite it is prepared once, found by its type, and read without a copy between.
macro_rules! first {
    ($conn:expr, $query:expr) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                let query = $query;
                let find = move |connection: &mut diesel::SqliteConnection| {
                    diesel::OptionalExtension::optional(diesel::RunQueryDsl::get_result(query, connection))
                };
                $crate::db::in_span!("sqlite", handle.spawn_blocking(find)).map_err($crate::db::to_error)
            }
            $crate::db::Handle::Postgres(handle) => $crate::db::on_postgres!(handle, c => {
                let found = $crate::db::in_span!("postgresql", diesel_async::RunQueryDsl::get_result($query, c));
                diesel::OptionalExtension::optional(found)
            }),
        }
    };
}

/// Runs a statement of a transaction whose text is always the same and whose answer nothing is decided on: `execute!(conn, diesel::insert_into(..).values(row))`.
/// On PostgreSQL it is held back until something is read, or committed; an error shows only there. `or` turns an error into
/// another.
macro_rules! execute {
    ($conn:expr, $query:expr) => {
        $crate::db::execute!($conn, $query, or | error | error)
    };
    ($conn:expr, $query:expr, or $on_error:expr) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                let query = $crate::db::Prepared($query);
                let execute = move |connection: &mut diesel::SqliteConnection| {
                    diesel::RunQueryDsl::execute(query, connection).map(drop)
                };
                let executed = $crate::db::in_span!("sqlite", handle.spawn_blocking(execute));
                executed.map_err($crate::db::to_error).map_err($on_error)
            }
            $crate::db::Handle::Postgres(handle) => handle.defer($crate::db::Prepared($query), $on_error).await,
        }
    };
}

pub(crate) use statements::in_span;
pub(crate) use {execute, first, on_postgres, query};

/// What runs in a transaction: an async closure of a [`Conn`]. It is `Copy`, which one that only borrows is, because it may
/// run again; the trait names its future, so that it can be asked to be `Send`.
pub trait Work<Tx, Done>: AsyncFnOnce(Tx) -> Done + FnOnce(Tx) -> <Self as Work<Tx, Done>>::Running {
    /// The work, running.
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
    /// Opens the pools. PostgreSQL must answer; a SQLite file is created if it does not exist.
    ///
    /// # Errors
    /// Says in one line what is wrong.
    pub async fn open(settings: &DatabaseArgs, statement_timeout: Duration) -> std::result::Result<Self, String> {
        let pools = match &settings.database_url {
            DatabaseUrl::Sqlite(path) => Pools::Sqlite(sqlite::Pools::open(path, settings).await?),
            DatabaseUrl::Postgres(url) => {
                Pools::Postgres(postgres::Pools::open(url, settings, statement_timeout).await?)
            }
        };
        Ok(Self { pools, committed: Arc::default(), waits: seconds(), events: Family::default() })
    }

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Time that transactions waited for a connection and, on SQLite, for their turn to write";
        registry.register("pool_wait_seconds", help, self.waits.clone());
        registry.register("events", "Events of changes that were committed, by their action", self.events.clone());
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it does not.
    pub async fn ping(&self) -> Result<()> {
        self.read(async |conn| {
            query!(conn, c => diesel_async::RunQueryDsl::execute(diesel::sql_query("SELECT 1"), c)).map(drop)
        })
        .await
    }

    /// Runs short reads, of a few rows each. On PostgreSQL what is asked for at once is pipelined on shared connections, on
    /// SQLite it is read where it is asked for. Reads that fail because their connection has ended are done again on another one, at
    /// most once for each there is.
    ///
    /// # Errors
    /// What `work` answers; [`Error::Unavailable`] if there is no connection in time.
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
            match work(&mut conn).await {
                Err(Error::Unavailable(_)) if others > 0 && conn.is_closed() => others -= 1,
                done => return done,
            }
        }
    }

    /// Runs reads of many rows. They have a connection of their own, so that they hold up nobody else's short ones.
    ///
    /// # Errors
    /// What `work` answers; [`Error::Unavailable`] if there is no connection in time.
    pub async fn scan<T, F>(&self, work: F) -> Result<T>
    where
        for<'c> F: Work<&'c mut Conn, Result<T>, Running: Send> + Copy,
    {
        let mut conn = Conn::new(match &self.pools {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.scan().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.scan().await?),
        });
        work(&mut conn).await
    }

    async fn point(&self) -> Result<Conn> {
        Ok(Conn::new(match &self.pools {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.point().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.point().await?),
        }))
    }

    /// A connection for reads that all see the state of one moment: that of the first one. Its holder has it alone, and
    /// gives it back with [`Conn::end`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is none in time.
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

    /// Runs `work` in one transaction, the one door of every change. It commits when `work` succeeds and changes nothing
    /// when it fails. On a conflict with a concurrent transaction `work` runs again, so it must not act outside `tx`.
    ///
    /// Dropping the future before `work` has ended changes nothing; after it, nobody knows.
    ///
    /// # Errors
    /// What `work` answers; [`Error::Conflict`] after several tries; [`Error::Unavailable`] if the database is not there.
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
        let asked = Instant::now();
        let begun = match &self.pools {
            Pools::Sqlite(pools) => pools.begin().await.map(Handle::Sqlite),
            Pools::Postgres(pools) => pools.begin().await.map(Handle::Postgres),
        };
        self.waits.observe(asked.elapsed().as_secs_f64());
        let mut tx = Conn::new(begun?);
        let done = match work(&mut tx).await {
            Ok(_) if !tx.changes.is_empty() => {
                Err(Error::internal("a transaction would change something without an event"))
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
                // What a refusal rests on may be lost with the connection: then it is not told.
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// True if a statement has a way to go, so that one of many rows is worth waiting for.
    pub fn has_round_trips(&self) -> bool {
        matches!(self.pools, Pools::Postgres(_))
    }

    /// The file of a SQLite database.
    pub fn sqlite_file(settings: &DatabaseArgs) -> Option<&Path> {
        match &settings.database_url {
            DatabaseUrl::Sqlite(path) => Some(path),
            DatabaseUrl::Postgres(_) => None,
        }
    }
}

impl Conn {
    fn new(handle: Handle) -> Self {
        Self { handle, changes: Vec::new(), actions: Vec::new(), granted: Vec::new() }
    }

    /// Ends a snapshot.
    ///
    /// # Errors
    /// When the connection is broken, which is then thrown away.
    pub async fn end(self) -> Result<()> {
        self.rollback().await
    }

    /// The transactions that have written to `cf_events` and have not ended. SQLite has none: what a reader does not see there
    /// has no place in the order yet.
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

    /// True if the connection has ended, for no fault of what was asked.
    fn is_closed(&self) -> bool {
        matches!(&self.handle, Handle::Postgres(handle) if handle.is_closed())
    }
}
