//! Memberships by a value: of metadata, or the external id.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{MembershipRepository, MembershipRow, compared, in_period};
use crate::{
    db::{
        query,
        schema::{memberships, organizations, users},
    },
    error::Result,
    models::{
        Action, Cursor, ExternalId, Membership, MembershipFilter, MembershipId, MetadataKind, MetadataMatch,
        OrganizationId, Page, PageRequest, Reach, ResourceId,
    },
    repositories::{
        Span, in_order_of,
        metadata::{Walk, compared_with_entries},
        reach::within,
    },
};

/// Compares memberships with the conditions of a filter that are not found by an index.
macro_rules! compared_with_others {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = in_period!($query, memberships::created_at, $page.created);
        if let Some(role) = &$filter.role {
            query = query.filter(compared(memberships::role.eq(role)));
        }
        let entries = $filter.metadata.of(MetadataKind::Membership, MetadataKind::MembershipPrivate);
        compared_with_entries!(query, entries, memberships::id)
    }};
}

impl MembershipRepository<'_> {
    /// The membership with an external id.
    pub(super) async fn by_external_id(
        &mut self,
        reach: &Reach,
        organization: OrganizationId,
        external_id: &ExternalId,
    ) -> Result<Option<MembershipRow>> {
        query!(self.conn, c => {
            let query = memberships::table.filter(memberships::organization_id.eq(organization));
            let query = query.filter(memberships::external_id.eq(external_id));
            let query = query.select(MembershipRow::as_select()).into_boxed::<Backend>();
            async { within!(memberships, query, reach).get_result(c).await.optional() }
        })
    }

    /// The membership of an organization with an external id, as a page. At most one has it, so the page has no order: PostgreSQL would
    /// read all members in that order.
    pub(super) async fn list_by_external_id(
        &mut self,
        reach: &Reach,
        organization: OrganizationId,
        external_id: &ExternalId,
        filter: &MembershipFilter,
        page: &PageRequest,
    ) -> Result<Page<Membership>> {
        let span = Span::of(page);
        let rows: Vec<MembershipRow> = query!(self.conn, c => {
            let query = memberships::table.filter(memberships::organization_id.eq(organization));
            let query = query.filter(memberships::external_id.eq(external_id));
            let query = query.filter(compared(memberships::id.gt(MembershipId(span.after))));
            let query = query.filter(compared(memberships::id.le(MembershipId(span.up_to))));
            let query = query.select(MembershipRow::as_select()).into_boxed::<Backend>();
            let query = compared_with_others!(query, filter, page);
            within!(memberships, query, reach).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// A page of the memberships of an organization with a value in their metadata, in order of creation.
    pub(super) async fn list_by_entry(
        &mut self,
        reach: &Reach,
        organization: OrganizationId,
        entry: (MetadataKind, &MetadataMatch),
        filter: &MembershipFilter,
        page: &PageRequest,
    ) -> Result<Page<Membership>> {
        let mut walk = Walk::new(entry, ResourceId(organization.0), page);
        let mut rows: Vec<MembershipRow> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<MembershipId> =
                walk.next(self.conn, rows.len()).await?.into_iter().map(|id| MembershipId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            let more: Vec<MembershipRow> = query!(self.conn, c => {
                let query = memberships::table.filter(memberships::id.eq_any(&ids));
                let query = query.filter(compared(memberships::organization_id.eq(organization)));
                let query = query.select(MembershipRow::as_select()).into_boxed::<Backend>();
                let query = compared_with_others!(query, filter, page);
                within!(memberships, query, reach).load(c)
            })?;
            rows.extend(in_order_of(&ids, more, |row| row.id));
        }
        Ok(page.page_looked_at(rows, walk.searched_to(), |row| Cursor::by_id(row.id)))
    }

    /// Takes the external id that a membership is about to get from another one whose user is deleted: what nobody can see does not block.
    /// The organization is locked.
    pub(super) async fn free_external_id(&mut self, before: Option<&Membership>, after: &Membership) -> Result<()> {
        let Some(external_id) = &after.external_id else { return Ok(()) };
        if before.is_some_and(|before| before.external_id.as_ref() == Some(external_id)) {
            return Ok(());
        }
        let rows: Vec<MembershipRow> = query!(self.conn, c => {
            let held = memberships::table
                .filter(memberships::organization_id.eq(after.organization_id))
                .filter(memberships::external_id.eq(external_id))
                .filter(memberships::id.ne(after.id))
                .filter(exists(
                    users::table.filter(users::id.eq(memberships::user_id)).filter(users::deleted_at.is_not_null()),
                ));
            diesel::update(held)
                .set((
                    memberships::external_id.eq(None::<ExternalId>),
                    memberships::updated_at.eq(after.updated_at),
                    memberships::revision.eq(memberships::revision + 1),
                ))
                .returning(MembershipRow::as_returning())
                .get_results(c)
        })?;
        for freed in rows.into_iter().map(Membership::from) {
            let before = Membership { external_id: Some(external_id.clone()), ..freed.clone() };
            self.conn.changed(Action::MembershipUpdated, before, &freed);
        }
        Ok(())
    }
}
