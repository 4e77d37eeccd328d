//! Statements that are prepared once. diesel prepares an UPDATE again each time, because its text may depend on its values. Ours does not.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::{Sqlite, SqliteConnection},
};

/// A statement with constant text.
pub(crate) struct Prepared<Q>(pub(crate) Q);

impl<Q: QueryId> QueryId for Prepared<Q> {
    type QueryId = Q::QueryId;

    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q> diesel::RunQueryDsl<SqliteConnection> for Prepared<Q> {}

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
