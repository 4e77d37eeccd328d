//! Lists of API keys: driven by the owner. What its index does not serve is compared row by row, up to a number of rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{Span, compared, in_period, reach::within, spanned},
    ApiKeyRepository, ApiKeyRow, owned,
};
use crate::{
    db::{
        query,
        schema::{api_keys, organizations, users},
    },
    error::Result,
    models::{ApiKey, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Cursor, Page, PageRequest, Reach},
};

/// Compares what the owner's index does not serve.
macro_rules! filtered {
    ($query:expr, $filter:expr) => {{
        let mut query = $query;
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
            query = query.filter(compared(api_keys::last_used_at.ge(from)));
        }
        if let Some(before) = $filter.last_used.before {
            let unused = api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(before));
            query = query.filter(compared(unused));
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

impl ApiKeyRepository<'_> {
    /// A page of API keys, in order of creation.
    pub async fn list(&mut self, reach: &Reach, filter: &ApiKeyFilter, page: &PageRequest) -> Result<Page<ApiKey>> {
        let span = Span::of(page);
        let mut looked_to: Option<ApiKeyId> = None;
        if is_partial(filter) {
            looked_to = query!(self.conn, c => {
                let query = owned!(api_keys::table.select(api_keys::id).into_boxed::<Backend>(), filter.owner);
                let last = spanned!(query, api_keys::id, ApiKeyId, span, page.order).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = looked_to.map_or(span, |last| span.until(last.0, page.order));
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            let query = filtered!(owned!(query, filter.owner), filter);
            let query = in_period!(query, api_keys::created_at, page.created);
            let query = spanned!(query, api_keys::id, ApiKeyId, span, page.order);
            within!(api_keys, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, looked_to.map(Cursor::by_id), |row| Cursor::by_id(row.id)))
    }
}
