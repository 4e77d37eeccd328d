//! The only place that knows there are two databases: pools, connections, transactions, column types, migrations.
//!
//! A [`Conn`] is a connection of either database. Repositories write one query, and `query!` expands it once for each: a
//! query that one of the two cannot do does not compile.

mod error;
mod locking;
pub mod migrations;
mod postgres;
pub(crate) mod schema;
mod sqlite;
mod tls;
pub(crate) mod types;

use std::{path::Path, time::Duration};

pub(crate) use error::to_error;
pub(crate) use locking::ForUpdate;

use crate::{
    config::{DatabaseArgs, DatabaseUrl},
    error::{Error, Result},
    security::random,
};

/// How often a transaction is tried before its caller learns of the conflict.
const TRANSACTION_ATTEMPTS: u32 = 5;

/// The database.
#[derive(Clone)]
pub struct Database(Pools);

#[derive(Clone)]
enum Pools {
    Sqlite(sqlite::Pools),
    Postgres(postgres::Pools),
}

/// A connection of either database. It has no lifetime, so that a transaction's closure is `Send`.
pub struct Conn(pub(crate) Handle);

/// What `query!` dispatches on.
pub(crate) enum Handle {
    Sqlite(sqlite::Pooled),
    Postgres(postgres::Handle),
}

/// Runs a diesel query on either database: `query!(conn, c => users::table.load::<UserRow>(c))`. The expression is expanded
/// once for each, so that its types follow the database; in it `Backend` names diesel's type of that database.
macro_rules! query {
    ($conn:expr, $c:ident => $query:expr) => {
        match &mut $conn.0 {
            $crate::db::Handle::Sqlite(pooled) => {
                #[allow(dead_code, reason = "only boxed queries name it")]
                type Backend = diesel::sqlite::Sqlite;
                let $c = &mut **pooled;
                $query.await
            }
            $crate::db::Handle::Postgres(handle) => {
                #[allow(dead_code, reason = "only boxed queries name it")]
                type Backend = diesel::pg::Pg;
                let $c = &mut &**handle;
                $query.await
            }
        }
        .map_err($crate::db::to_error)
    };
}

pub(crate) use query;

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
        Ok(Self(match &settings.database_url {
            DatabaseUrl::Sqlite(path) => Pools::Sqlite(sqlite::Pools::open(path, settings).await?),
            DatabaseUrl::Postgres(url) => {
                Pools::Postgres(postgres::Pools::open(url, settings, statement_timeout).await?)
            }
        }))
    }

    /// A connection for reads. A SQLite one is its holder's alone until dropped; a PostgreSQL one is shared, and what its
    /// holders ask at once is pipelined.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is none in time.
    pub async fn read(&self) -> Result<Conn> {
        Ok(Conn(match &self.0 {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.reader().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.reader().await?),
        }))
    }

    /// Runs `work` in one transaction, the one door of every change. It commits when `work` succeeds and changes nothing
    /// when it fails. On a conflict with a concurrent transaction `work` runs again, so it must not act outside `tx`.
    ///
    /// Dropping the future before the end changes nothing.
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
        let mut tx = Conn(match &self.0 {
            Pools::Sqlite(pools) => Handle::Sqlite(pools.begin().await?),
            Pools::Postgres(pools) => Handle::Postgres(pools.begin().await?),
        });
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // A connection that cannot roll back is thrown away by its pool, which rolls back too.
                if let Err(rollback) = tx.rollback().await {
                    tracing::warn!(error = %rollback, "a rollback failed");
                }
                Err(error)
            }
        }
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
    async fn commit(&mut self) -> Result<()> {
        match &mut self.0 {
            Handle::Sqlite(pooled) => sqlite::commit(pooled).await,
            Handle::Postgres(handle) => handle.commit().await,
        }
        .map_err(to_error)
    }

    async fn rollback(&mut self) -> Result<()> {
        match &mut self.0 {
            Handle::Sqlite(pooled) => sqlite::rollback(pooled).await,
            Handle::Postgres(handle) => handle.rollback().await,
        }
        .map_err(to_error)
    }
}
