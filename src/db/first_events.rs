//! Reads the first events of several actions in one statement. diesel has no union of a number of queries that is known only at run time.

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
};

use super::types::Id;
use crate::models::{Action, EventId, Order};

/// The ids of the first events of any of these actions, in an order. The index on actions is ordered within each: the statement takes as
/// many from each and merges them. Its text depends only on the number of actions and the order. There must be at least one action.
pub(crate) struct FirstEvents<'a> {
    pub(crate) actions: &'a [Action],
    /// Exclusive.
    pub(crate) after: EventId,
    /// Inclusive.
    pub(crate) up_to: EventId,
    pub(crate) order: Order,
    pub(crate) limit: i64,
}

impl QueryId for FirstEvents<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for FirstEvents<'_> {
    type SqlType = Id;
}

impl<DB> QueryFragment<DB> for FirstEvents<'_>
where
    DB: Backend + HasSqlType<Id> + HasSqlType<Text> + HasSqlType<BigInt>,
    Action: ToSql<Text, DB>,
    EventId: ToSql<Id, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let ordered = match self.order {
            Order::OldestFirst => " ORDER BY id LIMIT ",
            Order::NewestFirst => " ORDER BY id DESC LIMIT ",
        };
        for (at, action) in self.actions.iter().enumerate() {
            out.push_sql(if at == 0 { "SELECT id FROM (" } else { " UNION ALL SELECT id FROM (" });
            out.push_sql("SELECT id FROM cf_events WHERE action = ");
            out.push_bind_param::<Text, _>(action)?;
            out.push_sql(" AND id > ");
            out.push_bind_param::<Id, _>(&self.after)?;
            out.push_sql(" AND id <= ");
            out.push_bind_param::<Id, _>(&self.up_to)?;
            out.push_sql(ordered);
            out.push_bind_param::<BigInt, _>(&self.limit)?;
            out.push_sql(") AS first");
        }
        out.push_sql(ordered);
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}
