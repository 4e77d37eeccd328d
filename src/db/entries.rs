//! Writes metadata entries, many in one statement. diesel has no such statement for both databases.

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{HasSqlType, Text},
};

use super::types::Id;
use crate::models::{MetadataKind, ResourceId, metadata::MetadataEntry};

/// Stores entries of resources, and replaces those that they already have. Its text depends only on their number. It must not be empty.
pub(crate) struct StoreEntries(pub(crate) Vec<MetadataEntry>);

impl QueryId for StoreEntries {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB> QueryFragment<DB> for StoreEntries
where
    DB: Backend + HasSqlType<Id> + HasSqlType<Text>,
    MetadataKind: ToSql<Text, DB>,
    ResourceId: ToSql<Id, DB>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("INSERT INTO cf_metadata_entries (kind, resource_id, key, scope_id, value) VALUES ");
        for (at, entry) in self.0.iter().enumerate() {
            out.push_sql(if at == 0 { "(" } else { ", (" });
            out.push_bind_param::<Text, _>(&entry.kind)?;
            out.push_sql(", ");
            out.push_bind_param::<Id, _>(&entry.resource_id)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(&entry.key)?;
            out.push_sql(", ");
            out.push_bind_param::<Id, _>(&entry.scope_id)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(&entry.value)?;
            out.push_sql(")");
        }
        out.push_sql(" ON CONFLICT (kind, resource_id, key) DO UPDATE SET value = excluded.value");
        Ok(())
    }
}
