//! Lists of API keys: driven by the owner. What its index does not serve is compared row by row, up to a number of rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{Span, compared, in_order_of, in_period, reach::within, spanned},
    ApiKeyRepository, ApiKeyRow, owned,
};
use crate::{
    db::{
        query,
        schema::{api_keys, organizations, users},
    },
    error::Result,
    models::{
        ApiKeyFilter, ApiKeyId, ApiKeyOwner, Cursor, KeyWithUses, LastUses, MetadataKind, MetadataMatch, Page,
        PageRequest, Reach, ResourceId, Timestamp,
    },
    repositories::metadata::Walk,
};

/// Compares what the owner's index does not serve.
macro_rules! filtered {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = in_period!($query, api_keys::created_at, $page.created);
        if !$filter.include_revoked {
            query = query.filter(compared(api_keys::revoked_at.is_null()));
        }
        if let Some(fragment) = &$filter.fragment {
            query = query.filter(compared(api_keys::name_search.like(fragment.pattern()).escape('\\')));
        }
        if let Some(user) = $filter.created_by {
            // Who of the platform created a key is not shown, so it cannot be searched either.
            let shown = api_keys::created_by.eq(user).and(api_keys::by_platform.eq(false));
            query = query.filter(compared(shown));
        }
        query = in_period!(query, api_keys::expires_at, $filter.expires);
        if let Some(from) = $filter.last_used.from {
            let used = api_keys::last_used_at.ge(from).or(api_keys::former_last_used_at.ge(from));
            query = query.filter(compared(used));
        }
        if let Some(before) = $filter.last_used.before {
            // The former secret of a rotated key is used, too.
            let unused = api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(before));
            let unused_before = api_keys::former_last_used_at.is_null().or(api_keys::former_last_used_at.lt(before));
            query = query.filter(compared(unused)).filter(compared(unused_before));
        }
        query
    }};
}

/// True if a filter has conditions beyond what the owner's index serves.
fn is_partial(filter: &ApiKeyFilter) -> bool {
    filter.fragment.is_some()
        || filter.created_by.is_some()
        || !filter.include_revoked
        || !filter.expires.is_all()
        || !filter.last_used.is_all()
}

/// A key and the last uses of its current and of its former secret.
type Listed = (ApiKeyRow, Option<Timestamp>, Option<Timestamp>);

/// The columns of [`Listed`].
macro_rules! listed {
    () => {
        (ApiKeyRow::as_select(), api_keys::last_used_at, api_keys::former_last_used_at)
    };
}

impl From<Listed> for KeyWithUses {
    fn from((row, current, former): Listed) -> Self {
        Self { api_key: row.into(), last_uses: LastUses { current, former } }
    }
}

fn row_id((row, ..): &Listed) -> Cursor {
    Cursor::by_id(row.id)
}

impl ApiKeyRepository<'_> {
    /// A page of API keys, in order of creation.
    pub async fn list(
        &mut self,
        reach: &Reach,
        filter: &ApiKeyFilter,
        page: &PageRequest,
    ) -> Result<Page<KeyWithUses>> {
        if let Some(entry) = &filter.metadata {
            return self.list_by_entry(reach, entry, filter, page).await;
        }
        let span = Span::of(page);
        let mut searched_to: Option<ApiKeyId> = None;
        if is_partial(filter) {
            searched_to = query!(self.conn, c => {
                let query = owned!(api_keys::table.select(api_keys::id).into_boxed::<Backend>(), filter.owner);
                let last = spanned!(query, api_keys::id, ApiKeyId, span, page.order).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = searched_to.map_or(span, |last| span.until(last.0, page.order));
        let rows: Vec<Listed> = query!(self.conn, c => {
            let query = api_keys::table.select(listed!()).into_boxed::<Backend>();
            let query = filtered!(owned!(query, filter.owner), filter, page);
            let query = spanned!(query, api_keys::id, ApiKeyId, span, page.order);
            within!(api_keys, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_id), row_id))
    }

    /// A page of the keys of an owner with a value in their metadata, in order of creation.
    async fn list_by_entry(
        &mut self,
        reach: &Reach,
        entry: &MetadataMatch,
        filter: &ApiKeyFilter,
        page: &PageRequest,
    ) -> Result<Page<KeyWithUses>> {
        let owner = match filter.owner {
            ApiKeyOwner::Organization(id) => ResourceId(id.0),
            ApiKeyOwner::User(id) => ResourceId(id.0),
        };
        let mut walk = Walk::new((MetadataKind::ApiKey, entry), owner, page);
        let mut rows: Vec<Listed> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<ApiKeyId> =
                walk.next(self.conn, rows.len()).await?.into_iter().map(|id| ApiKeyId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            let more: Vec<Listed> = query!(self.conn, c => {
                let query = api_keys::table.filter(api_keys::id.eq_any(&ids));
                let query = filtered!(query.select(listed!()).into_boxed::<Backend>(), filter, page);
                within!(api_keys, query, reach).load(c)
            })?;
            rows.extend(in_order_of(&ids, more, |(row, ..)| row.id));
        }
        Ok(page.page_looked_at(rows, walk.searched_to(), row_id))
    }
}
