//! Search of organizations by a part of the name or the slug.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{OrganizationRepository, OrganizationRow, Span, compared, compared_with, in_period, row_id, within};
use crate::{
    db::{
        query,
        schema::{memberships, organizations},
    },
    error::Result,
    models::{
        Cursor, Fragment, MetadataKind, Order, Organization, OrganizationFilter, OrganizationId, Page, PageRequest,
        Reach, StateFilter, UserId,
        search::{Searched, searchable},
    },
    repositories::in_order_of,
};

/// Ids read by one statement.
const IDS: usize = 1000;

/// True if the name or the slug of an organization contains a fragment.
pub(in crate::repositories::organization) fn has_fragment(row: &OrganizationRow, fragment: &Fragment) -> bool {
    fragment.is_in(&searchable(&[row.name.as_str(), row.slug.as_str()]))
}

impl OrganizationRepository<'_> {
    /// A page of all organizations with a fragment, in order of creation. Takes no reach: the caller reaches all organizations.
    pub(super) async fn search_all(
        &mut self,
        fragment: &Fragment,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let everything = Reach::by_system();
        let mut span = Span::of(page);
        let (mut rows, mut parts): (Vec<OrganizationRow>, _) = (Vec::new(), page.parts());
        let mut progress = self.conn.search().begin(Searched::Organizations, fragment, span, page.order).await?;
        loop {
            let found = self.conn.search().step(fragment, span, &mut progress).await?;
            let (asked, searched_to) = progress.part(&found);
            let mut rest = asked;
            while let Some(ids) = parts.next(&mut rest, rows.len()) {
                let ids: Vec<OrganizationId> = ids.iter().copied().map(OrganizationId).collect();
                rows.extend(self.with_fragment(&everything, &ids, fragment, filter, page).await?);
                progress.compared(ids.len());
            }
            match searched_to {
                Some(end) if rows.len() <= page.size && !progress.is_finished() => span = span.beyond(end, page.order),
                end => return Ok(page.page_looked_at(rows, end.map(Cursor::by_id), row_id)),
            }
        }
    }

    /// A page of a member's organizations with a fragment. Examines all of the member's organizations, of which there are at most 1,000
    /// unless platform admins have added more.
    pub(super) async fn search_of_member(
        &mut self,
        reach: &Reach,
        member: UserId,
        fragment: &Fragment,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let mut own: Vec<OrganizationId> = query!(self.conn, c => {
            let own = memberships::table.filter(memberships::user_id.eq(member));
            own.select(memberships::organization_id).load(c)
        })?;
        let span = Span::of(page);
        own.retain(|id| span.contains(id.0));
        own.sort_unstable();
        if page.order == Order::NewestFirst {
            own.reverse();
        }
        let mut rows = Vec::new();
        for ids in own.chunks(IDS) {
            rows.extend(self.with_fragment(reach, ids, fragment, filter, page).await?);
            if rows.len() > page.size {
                break;
            }
        }
        Ok(page.page(rows, row_id))
    }

    /// Those of the given organizations that pass the filter and have the fragment, in the given order.
    async fn with_fragment(
        &mut self,
        reach: &Reach,
        ids: &[OrganizationId],
        fragment: &Fragment,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Vec<OrganizationRow>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::id.eq_any(ids)).select(OrganizationRow::as_select());
            let query = compared_with!(query.into_boxed::<Backend>(), filter, page);
            within!(also deleted organizations, query, reach).load(c)
        })?;
        Ok(in_order_of(ids, rows.into_iter().filter(|row| has_fragment(row, fragment)), |row| row.id))
    }
}
