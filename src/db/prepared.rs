//! Statements that are prepared once. diesel prepares an UPDATE again each time, because its text may depend on its values. Ours does not.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

/// A statement with constant text. It must be run by diesel-async: diesel itself asks a reference to it, which does not forward the answer.
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<Q: QueryId> QueryId for Prepared<Q> {
    type QueryId = Q::QueryId;

    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

macro_rules! prepared {
    ($backend:ty) => {
        impl<Q: QueryFragment<$backend>> QueryFragment<$backend> for Prepared<Q> {
            fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                self.0.walk_ast(out)
            }

            fn is_safe_to_cache_prepared(&self, _: &$backend) -> QueryResult<bool> {
                Ok(true)
            }
        }
    };
}

prepared!(Pg);
prepared!(Sqlite);

/// A statement without values, such as `COMMIT`.
pub(super) struct Command(pub(super) &'static str);

impl QueryId for Command {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl diesel::RunQueryDsl<diesel::SqliteConnection> for Command {}

impl QueryFragment<Sqlite> for Command {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use diesel::{
        connection::{InstrumentationEvent, SimpleConnection as _},
        prelude::*,
    };
    use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

    use super::*;
    use crate::db::sqlite::InPlace;

    diesel::table! {
        things (id) {
            id -> Integer,
            name -> Text,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_update_is_prepared_once() {
        let mut connection = diesel::SqliteConnection::establish(":memory:").unwrap();
        connection.batch_execute("CREATE TABLE things (id integer PRIMARY KEY, name text NOT NULL)").unwrap();
        let cached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cached);
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { .. } = event {
                count.fetch_add(1, SeqCst);
            }
        });
        let mut connection = SyncConnectionWrapper::with_runtime(connection, InPlace::Short);
        for name in ["one", "two"] {
            let update = diesel::update(things::table.filter(things::id.eq(1))).set(things::name.eq(name));
            diesel_async::RunQueryDsl::execute(Prepared(update), &mut connection).await.unwrap();
        }
        assert_eq!(cached.load(SeqCst), 1);
    }
}
