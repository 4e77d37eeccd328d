//! Lists of organizations. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of
//! rows.

mod search;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{Span, between, compared, in_period, reach::within, spanned},
    OrganizationRepository, OrganizationRow,
};
use crate::{
    db::{
        query,
        schema::{memberships, organizations},
    },
    error::Result,
    models::{
        Cursor, MetadataKind, Organization, OrganizationFilter, OrganizationId, Page, PageRequest, Reach, StateFilter,
        UserId, text::prefix_end,
    },
};

/// Filters by state and plan, where the list is driven by their index.
macro_rules! in_state {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = $query;
        query = in_period!(query, organizations::created_at, $page.created);
        query = match $filter.state {
            StateFilter::NotDeleted => query.filter(organizations::deleted_at.is_null()),
            StateFilter::Is(state) => {
                query.filter(organizations::deleted_at.is_null()).filter(organizations::state.eq(state))
            }
            StateFilter::Deleted => query.filter(organizations::deleted_at.is_not_null()),
        };
        if let Some(plan) = &$filter.plan {
            query = query.filter(organizations::plan.eq(plan));
        }
        query
    }};
}

/// Compares the state and the plan of rows that another index found.
macro_rules! compared_with {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = $query;
        query = in_period!(query, organizations::created_at, $page.created);
        query = match $filter.state {
            StateFilter::NotDeleted => query.filter(compared(organizations::deleted_at.is_null())),
            StateFilter::Is(state) => query
                .filter(compared(organizations::deleted_at.is_null()))
                .filter(compared(organizations::state.eq(state))),
            StateFilter::Deleted => query.filter(compared(organizations::deleted_at.is_not_null())),
        };
        if let Some(plan) = &$filter.plan {
            query = query.filter(compared(organizations::plan.eq(plan)));
        }
        let entries = $filter.metadata.of(MetadataKind::Organization, MetadataKind::OrganizationPrivate);
        $crate::repositories::metadata::compared_with_entries!(query, entries, organizations::id)
    }};
}

/// A position in the order of name and id.
type NamePlace = (String, OrganizationId);

pub(super) fn row_id(row: &OrganizationRow) -> Cursor {
    Cursor::by_id(row.id)
}

fn row_name(row: &OrganizationRow) -> Cursor {
    Cursor::by_text((row.name_normalized.as_str().to_owned(), row.id))
}

impl OrganizationRepository<'_> {
    /// A page of organizations, in order of id, or of name and id if the filter has a prefix. Deleted ones are listed only for a reach of
    /// everything.
    pub async fn list(
        &mut self,
        reach: &Reach,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let member_user_id = match *reach {
            Reach::User(id) => filter.member_user_id.or(Some(id)),
            Reach::Everything(_) | Reach::Organization(_) => filter.member_user_id,
        };
        if let Some(external_id) = &filter.external_id {
            return self.list_by_external_id(reach, external_id, filter, page).await;
        }
        if let Some(id) = member_user_id {
            return match (&filter.fragment, &filter.name_prefix) {
                (Some(fragment), _) => self.search_of_member(reach, id, fragment, filter, page).await,
                (None, Some(prefix)) => self.list_of_member_by_name(reach, id, prefix.as_str(), filter, page).await,
                (None, None) => self.list_of_member(reach, id, filter, page).await,
            };
        }
        if let Reach::Organization(id) = *reach {
            return self.list_own(id, filter, page).await;
        }
        let driving = filter.metadata.driving(MetadataKind::Organization, MetadataKind::OrganizationPrivate);
        match (&filter.fragment, &filter.name_prefix, driving) {
            (Some(fragment), ..) => self.search_all(fragment, filter, page).await,
            (None, Some(prefix), _) => self.list_all_by_name(prefix.as_str(), filter, page).await,
            (None, None, Some(entry)) => self.list_by_entry(entry, filter, page).await,
            (None, None, None) => self.list_all(filter, page).await,
        }
    }

    /// The organization of an organization's own key, if it passes the filter.
    async fn list_own(
        &mut self,
        id: OrganizationId,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let mut rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            let query = compared_with!(query, filter, page);
            within!(also deleted organizations, query, &Reach::Organization(id)).load(c)
        })?;
        let is_prefixed = |row: &OrganizationRow, prefix| row.name_normalized.as_str().starts_with(prefix);
        rows.retain(|row| {
            Span::of(page).contains(row.id.0)
                && filter.name_prefix.as_ref().is_none_or(|prefix| is_prefixed(row, prefix.as_str()))
                && filter.fragment.as_ref().is_none_or(|fragment| has_fragment(row, fragment))
        });
        Ok(page.page(rows, row_id))
    }

    /// A page of all organizations. Takes no reach: the caller reaches all organizations.
    async fn list_all(&mut self, filter: &OrganizationFilter, page: &PageRequest) -> Result<Page<Organization>> {
        let span = Span::of(page);
        // No index returns the deleted organizations of one plan in order.
        let mut searched_to: Option<OrganizationId> = None;
        if matches!(filter.state, StateFilter::Deleted) && filter.plan.is_some() {
            searched_to = query!(self.conn, c => {
                let query = organizations::table.select(organizations::id).into_boxed::<Backend>();
                let query = query.filter(organizations::deleted_at.is_not_null());
                let query = spanned!(query, organizations::id, OrganizationId, span, page.order);
                let last = query.limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            let query = in_state!(query, filter, page);
            let span = searched_to.map_or(span, |last| span.until(last.0, page.order));
            spanned!(query, organizations::id, OrganizationId, span, page.order).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_id), row_id))
    }

    /// A page of all organizations whose name has this prefix. Takes no reach: the caller reaches all organizations.
    async fn list_all_by_name(
        &mut self,
        prefix: &str,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let after: NamePlace = page.begin(prefix);
        macro_rules! searched {
            ($query:expr, $searched_to:expr) => {{
                let query = match filter.state {
                    StateFilter::Deleted => $query.filter(organizations::deleted_at.is_not_null()),
                    StateFilter::NotDeleted | StateFilter::Is(_) => $query.filter(organizations::deleted_at.is_null()),
                };
                let (text, id) = (organizations::name_normalized, organizations::id);
                let query = between!(query, prefix, after, $searched_to, text, id);
                query.order((organizations::name_normalized, organizations::id))
            }};
        }
        let is_filtered = matches!(filter.state, StateFilter::Is(_))
            || filter.plan.is_some()
            || filter.metadata.is_any()
            || !page.created.is_all();
        let mut searched_to: Option<NamePlace> = None;
        if is_filtered {
            searched_to = query!(self.conn, c => {
                let places = (organizations::name_normalized, organizations::id);
                let query = organizations::table.select(places).into_boxed::<Backend>();
                let last = searched!(query, &None::<NamePlace>).limit(1).offset(page.look_with(&filter.metadata) - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            let query = searched!(query, &searched_to);
            compared_with!(query, filter, page).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_text), row_name))
    }

    /// A page of a member's organizations, driven by its memberships: the cost depends on the page alone, not on how much is stored.
    async fn list_of_member(
        &mut self,
        reach: &Reach,
        member: UserId,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let joined = memberships::table
                .inner_join(organizations::table.on(organizations::id.eq(memberships::organization_id)));
            let query = joined.filter(memberships::user_id.eq(member)).select(OrganizationRow::as_select());
            let query = compared_with!(query.into_boxed::<Backend>(), filter, page);
            let span = Span::of(page);
            let query = spanned!(query, memberships::organization_id, OrganizationId, span, page.order);
            within!(also deleted organizations, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, row_id))
    }

    /// A page of a member's organizations whose name has this prefix. Examines all of the member's organizations.
    async fn list_of_member_by_name(
        &mut self,
        reach: &Reach,
        member: UserId,
        prefix: &str,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let after: NamePlace = page.begin(prefix);
        let own: Vec<OrganizationId> = query!(self.conn, c => {
            let own = memberships::table.filter(memberships::user_id.eq(member));
            own.select(memberships::organization_id).load(c)
        })?;
        let mut places: Vec<NamePlace> = query!(self.conn, c => {
            let query = organizations::table
                .filter(organizations::id.eq_any(&own))
                .select((organizations::name_normalized, organizations::id));
            let query = compared_with!(query.into_boxed::<Backend>(), filter, page)
                .filter(compared(organizations::name_normalized.ge(prefix.to_owned())))
                .filter(compared(organizations::name_normalized.lt(prefix_end(prefix))));
            within!(also deleted organizations, query, reach).load(c)
        })?;
        places.retain(|place| *place > after);
        places.sort_unstable();
        places.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
        if places.is_empty() {
            return Ok(page.page(Vec::<OrganizationRow>::new(), row_name));
        }
        let ids: Vec<OrganizationId> = places.iter().map(|(_, id)| *id).collect();
        let mut rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq_any(&ids));
            query.select(OrganizationRow::as_select()).load(c)
        })?;
        let place = |row: &OrganizationRow| (row.name_normalized.as_str().to_owned(), row.id);
        rows.sort_by_cached_key(place);
        Ok(page.page(rows, row_name))
    }
}

pub(super) use {compared_with, search::has_fragment};
