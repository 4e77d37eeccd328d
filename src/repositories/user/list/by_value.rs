//! Lists of users by a value: of metadata, or the external id.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{Range, UserRepository, UserRow, compared, compared_with, row_id};
use crate::{
    db::{
        query,
        schema::{memberships, users},
    },
    error::Result,
    models::{
        ExternalId, MetadataKind, MetadataMatch, OrganizationId, Page, PageRequest, Reach, ResourceId, StateFilter,
        User, UserFilter, UserId, metadata::DEPLOYMENT, text::prefix_end,
    },
    repositories::{
        metadata::Walk,
        reach::{VISIBLE, within},
    },
};

impl UserRepository<'_> {
    /// A page of all users with a value in their metadata, in order of id. Takes no reach: only platform admins list all users.
    pub(super) async fn list_by_entry(
        &mut self,
        entry: (MetadataKind, &MetadataMatch),
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let range = Range::of(filter, page);
        let range = (ResourceId(range.after.0), ResourceId(range.up_to.0));
        let mut walk = Walk::new(entry, DEPLOYMENT, range, page);
        let mut rows: Vec<UserRow> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<UserId> = walk.next(self.conn).await?.into_iter().map(|id| UserId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            self.add(&mut rows, &ids, filter, page).await?;
        }
        Ok(page.page_looked_at(rows, walk.looked_to(), row_id))
    }

    /// A page of the users with an external id, in order of id: at most one of them is not deleted.
    pub(super) async fn list_by_external_id(
        &mut self,
        reach: &Reach,
        organization: Option<OrganizationId>,
        external_id: &ExternalId,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::external_id.eq(external_id)).select(UserRow::as_select());
            let mut query = query.into_boxed::<Backend>();
            query = match filter.state {
                StateFilter::Deleted => query.filter(users::deleted_at.is_not_null()),
                StateFilter::NotDeleted | StateFilter::Is(_) => query.filter(users::deleted_at.is_null()),
            };
            query = compared_with!(query, filter);
            if let Some(prefix) = &filter.email_prefix {
                let (from, to) = (prefix.as_str().to_owned(), prefix_end(prefix.as_str()));
                query = query.filter(compared(users::email_normalized.ge(from)));
                query = query.filter(compared(users::email_normalized.lt(to)));
            }
            if let Some(id) = organization {
                query = query.filter(exists(
                    VISIBLE
                        .filter(VISIBLE.field(memberships::user_id).eq(users::id))
                        .filter(VISIBLE.field(memberships::organization_id).eq(id)),
                ));
            }
            if let Some(after) = &page.after {
                query = query.filter(users::id.gt(UserId(after.id)));
            }
            within!(also deleted users, query, reach).order(users::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, row_id))
    }
}
