//! Lists of the API keys of an owner.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{ApiKeyRepository, ApiKeyRow, owned};
use crate::{
    db::{
        query,
        schema::{api_keys, organizations, users},
    },
    error::Result,
    models::{
        ApiKey, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Cursor, MetadataKind, MetadataMatch, Page, PageRequest, Reach,
        ResourceId, metadata::DEPLOYMENT,
    },
    repositories::{compared, metadata::Walk, reach::within},
};

fn row_id(row: &ApiKeyRow) -> Cursor {
    Cursor::by_id(row.id)
}

impl ApiKeyRepository<'_> {
    /// A page of API keys, in order of id.
    pub async fn list(&mut self, reach: &Reach, filter: &ApiKeyFilter, page: &PageRequest) -> Result<Page<ApiKey>> {
        if let Some(entry) = &filter.metadata {
            return self.list_by_entry(reach, entry, filter, page).await;
        }
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            let mut query = owned!(query, filter.owner);
            if !filter.include_revoked {
                query = query.filter(api_keys::revoked_at.is_null());
            }
            if let Some(cursor) = &page.after {
                query = query.filter(api_keys::id.gt(ApiKeyId(cursor.id)));
            }
            within!(api_keys, query, reach).order(api_keys::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, row_id))
    }

    /// A page of the keys of an owner with a value in their metadata, in order of id.
    async fn list_by_entry(
        &mut self,
        reach: &Reach,
        entry: &MetadataMatch,
        filter: &ApiKeyFilter,
        page: &PageRequest,
    ) -> Result<Page<ApiKey>> {
        let owner = match filter.owner {
            ApiKeyOwner::Organization(id) => ResourceId(id.0),
            ApiKeyOwner::User(id) => ResourceId(id.0),
        };
        let all = (DEPLOYMENT, ResourceId(uuid::Uuid::max()));
        let mut walk = Walk::new((MetadataKind::ApiKey, entry), owner, all, page);
        let mut rows: Vec<ApiKeyRow> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<ApiKeyId> = walk.next(self.conn).await?.into_iter().map(|id| ApiKeyId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            let more: Vec<ApiKeyRow> = query!(self.conn, c => {
                let query = api_keys::table.filter(api_keys::id.eq_any(&ids));
                let mut query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
                if !filter.include_revoked {
                    query = query.filter(compared(api_keys::revoked_at.is_null()));
                }
                within!(api_keys, query, reach).load(c)
            })?;
            let mut more: HashMap<ApiKeyId, ApiKeyRow> = more.into_iter().map(|row| (row.id, row)).collect();
            rows.extend(ids.iter().filter_map(|id| more.remove(id)));
        }
        Ok(page.page_looked_at(rows, walk.looked_to(), row_id))
    }
}
