//! Row locks. PostgreSQL takes them with `FOR UPDATE`; on SQLite a transaction holds the only write lock from its start.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sqlite::Sqlite,
};

/// Defines a statement that ends with a locking clause on PostgreSQL.
macro_rules! locking {
    ($(#[$about:meta])* $name:ident, $clause:literal) => {
        $(#[$about])*
        pub(crate) struct $name<Q>(pub(crate) Q);

        impl<Q> QueryId for $name<Q> {
            type QueryId = ();

            const HAS_STATIC_QUERY_ID: bool = false;
        }

        impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for $name<Q> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                self.0.walk_ast(out.reborrow())?;
                out.push_sql($clause);
                Ok(())
            }
        }

        impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for $name<Q> {
            fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                self.0.walk_ast(out)
            }
        }
    };
}

locking!(
    /// A select that locks the rows it finds until the transaction ends.
    ForUpdate,
    " FOR UPDATE"
);

locking!(
    /// An `INSERT .. SELECT` that keeps the rows it selects from being deleted until the transaction ends.
    KeepingSelected,
    " FOR KEY SHARE"
);

impl<Q: Query> Query for ForUpdate<Q> {
    type SqlType = Q::SqlType;
}
