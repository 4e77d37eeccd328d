//! Organizations by a value: of settings and metadata, or the external id.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    OrganizationRepository, OrganizationRow,
    list::{compared_with, has_fragment, row_id},
};
use crate::{
    db::{
        query,
        schema::{memberships, organizations},
    },
    error::Result,
    models::{
        ExternalId, MetadataKind, MetadataMatch, Organization, OrganizationFilter, OrganizationId, Page, PageRequest,
        Reach, StateFilter, metadata::DEPLOYMENT, text::prefix_end,
    },
    repositories::{
        Span, compared, in_order_of, in_period,
        metadata::Walk,
        reach::{VISIBLE, within},
        spanned,
    },
};

diesel::alias! {
    const HOLDER: Alias<Holder> = organizations as holder;
}

impl OrganizationRepository<'_> {
    /// The organization with this id in another system.
    pub async fn get_by_external_id(&mut self, reach: &Reach, id: &ExternalId) -> Result<Option<Organization>> {
        let row: Option<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::external_id.eq(id));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            async { within!(organizations, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Organization::from))
    }

    /// The organizations with these ids in another system, in any order.
    pub async fn get_many_by_external_id(&mut self, reach: &Reach, ids: &[ExternalId]) -> Result<Vec<Organization>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let query = organizations::table.filter(organizations::external_id.eq_any(ids));
            let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            within!(organizations, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(Organization::from).collect())
    }

    /// A page of all organizations with a value in their settings or metadata, in order of creation. Takes no reach: only platform admins list
    /// all organizations.
    pub(super) async fn list_by_entry(
        &mut self,
        entry: (MetadataKind, &MetadataMatch),
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let mut walk = Walk::new(entry, DEPLOYMENT, page);
        let mut rows: Vec<OrganizationRow> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<OrganizationId> =
                walk.next(self.conn, rows.len()).await?.into_iter().map(|id| OrganizationId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            let more: Vec<OrganizationRow> = query!(self.conn, c => {
                let query = organizations::table.filter(organizations::id.eq_any(&ids));
                let query = query.select(OrganizationRow::as_select()).into_boxed::<Backend>();
                compared_with!(query, filter, page).load(c)
            })?;
            rows.extend(in_order_of(&ids, more, |row| row.id));
        }
        Ok(page.page_looked_at(rows, walk.searched_to(), row_id))
    }

    /// A page of the organizations with an external id, in order of creation: at most one of them is not deleted, which is looked up by
    /// itself.
    pub(super) async fn list_by_external_id(
        &mut self,
        reach: &Reach,
        external_id: &ExternalId,
        filter: &OrganizationFilter,
        page: &PageRequest,
    ) -> Result<Page<Organization>> {
        let rows: Vec<OrganizationRow> = query!(self.conn, c => {
            let mut query = organizations::table.select(OrganizationRow::as_select()).into_boxed::<Backend>();
            query = match filter.state {
                StateFilter::Deleted => query
                    .filter(organizations::external_id.eq(external_id))
                    .filter(organizations::deleted_at.is_not_null()),
                StateFilter::NotDeleted | StateFilter::Is(_) => {
                    let holder = HOLDER
                        .filter(HOLDER.field(organizations::external_id).eq(external_id))
                        .filter(HOLDER.field(organizations::deleted_at).is_null())
                        .select(HOLDER.field(organizations::id));
                    query.filter(organizations::id.nullable().eq(holder.single_value()))
                }
            };
            query = compared_with!(query, filter, page);
            if let Some(prefix) = &filter.name_prefix {
                let (from, to) = (prefix.as_str().to_owned(), prefix_end(prefix.as_str()));
                query = query.filter(compared(organizations::name_normalized.ge(from)));
                query = query.filter(compared(organizations::name_normalized.lt(to)));
            }
            if let Some(member) = filter.member_user_id {
                query = query.filter(exists(
                    VISIBLE
                        .filter(VISIBLE.field(memberships::user_id).eq(member))
                        .filter(VISIBLE.field(memberships::organization_id).eq(organizations::id)),
                ));
            }
            let query = spanned!(query, organizations::id, OrganizationId, Span::of(page), page.order);
            within!(also deleted organizations, query, reach).limit(page.limit()).load(c)
        })?;
        let Some(fragment) = &filter.fragment else { return Ok(page.page(rows, row_id)) };
        Ok(page.page_of(rows, row_id, |row| has_fragment(row, fragment)))
    }
}
