//! Macros that expand a query once per database. Types of diesel differ between databases, so a function cannot do it.

/// Reads on a PostgreSQL connection. Deferred statements are sent first; if one of them failed, that is the error reported.
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

/// Runs a diesel query on either database: `query!(conn, c => users::table.load::<UserRow>(c))`. The expression is expanded once per
/// database, so its types differ; within it, `Backend` is diesel's type of the database.
macro_rules! query {
    ($conn:expr, $c:ident => $query:expr) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                #[allow(dead_code, reason = "used only by boxed queries")]
                type Backend = diesel::sqlite::Sqlite;
                let $c = &mut **handle;
                $crate::db::in_span!("sqlite", $query).map_err($crate::db::to_error)
            }
            $crate::db::Handle::Postgres(handle) => {
                #[allow(dead_code, reason = "used only by boxed queries")]
                type Backend = diesel::pg::Pg;
                $crate::db::on_postgres!(handle, $c => $crate::db::in_span!("postgresql", $query))
            }
        }
    };
}

/// Runs independent reads: `queries!(conn, c => rows = first, others = second)`. On PostgreSQL they are sent together, so that they take
/// one round trip.
macro_rules! queries {
    ($conn:expr, $c:ident => $($name:ident = $query:expr),+ $(,)?) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                type Backend = diesel::sqlite::Sqlite;
                $(
                    let $name = {
                        let $c = &mut **handle;
                        $crate::db::in_span!("sqlite", $query).map_err($crate::db::to_error)?
                    };
                )+
                ($($name),+)
            }
            $crate::db::Handle::Postgres(handle) => {
                type Backend = diesel::pg::Pg;
                handle.before_read().await?;
                let connection = handle.connection();
                let sent = tokio::try_join!($(async {
                    let $c = &mut { connection };
                    $crate::db::in_span!("postgresql", $query)
                }),+);
                match sent {
                    Ok(done) => done,
                    Err(error) => return Err(handle.failed(error).await),
                }
            }
        }
    };
}

/// Finds at most one row, by a query whose type determines its text: `first!(conn, users::table.filter(..).select(..))`. On SQLite the
/// statement is prepared once, looked up by its type, and read without an intermediate copy.
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

/// Runs a statement with constant text whose result affects no decision: `execute!(conn, diesel::insert_into(..).values(row))`. On
/// PostgreSQL it is deferred until the next read or the commit, and its errors surface only there. `or` maps an error to another.
macro_rules! execute {
    ($conn:expr, $query:expr) => {
        $crate::db::execute!($conn, $query, or | error | error)
    };
    ($conn:expr, $query:expr, or $on_error:expr) => {
        match &mut $conn.handle {
            $crate::db::Handle::Sqlite(handle) => {
                let query = $crate::db::Prepared($query);
                let executed = $crate::db::in_span!("sqlite", diesel_async::RunQueryDsl::execute(query, &mut **handle));
                executed.map(drop).map_err($crate::db::to_error).map_err($on_error)
            }
            $crate::db::Handle::Postgres(handle) => handle.defer($crate::db::Prepared($query), $on_error).await,
        }
    };
}

pub(crate) use {execute, first, on_postgres, queries, query};
