//! Lists of users by a value: of metadata, or the external id.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    Span, UserRepository, UserRow, compared, compared_with, in_period, row_id, search::has_fragment, since, spanned,
};
use crate::{
    db::{
        query,
        schema::{memberships, users},
    },
    error::Result,
    models::{
        ExternalId, MetadataKind, MetadataMatch, OrganizationId, Page, PageRequest, Reach, StateFilter, User,
        UserFilter, UserId, metadata::DEPLOYMENT, text::prefix_end,
    },
    repositories::{
        metadata::Walk,
        reach::{VISIBLE, within},
    },
};

diesel::alias! {
    const HOLDER: Alias<Holder> = users as holder;
}

impl UserRepository<'_> {
    /// A page of all users with a value in their metadata, in order of creation. Takes no reach: only platform admins list all users.
    pub(super) async fn list_by_entry(
        &mut self,
        entry: (MetadataKind, &MetadataMatch),
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let mut walk = Walk::new(entry, DEPLOYMENT, page);
        let mut rows: Vec<UserRow> = Vec::new();
        while rows.len() <= page.size {
            let ids: Vec<UserId> = walk.next(self.conn, rows.len()).await?.into_iter().map(|id| UserId(id.0)).collect();
            if ids.is_empty() {
                break;
            }
            rows.extend(self.passing(&ids, filter, page).await?);
        }
        Ok(page.page_looked_at(rows, walk.searched_to(), row_id))
    }

    /// A page of the users with an external id, in order of creation: at most one of them is not deleted. That one is looked up by itself,
    /// since PostgreSQL may otherwise prefer to walk all users in the order of the page.
    pub(super) async fn list_by_external_id(
        &mut self,
        reach: &Reach,
        organization: Option<OrganizationId>,
        external_id: &ExternalId,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let mut query = users::table.select(UserRow::as_select()).into_boxed::<Backend>();
            query = match filter.state {
                StateFilter::Deleted => {
                    query.filter(users::external_id.eq(external_id)).filter(users::deleted_at.is_not_null())
                }
                StateFilter::NotDeleted | StateFilter::Is(_) => {
                    let holder = HOLDER
                        .filter(HOLDER.field(users::external_id).eq(external_id))
                        .filter(HOLDER.field(users::deleted_at).is_null())
                        .select(HOLDER.field(users::id));
                    query.filter(users::id.nullable().eq(holder.single_value()))
                }
            };
            query = compared_with!(query, filter, page);
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
            let query = spanned!(query, users::id, UserId, Span::of(page), page.order);
            within!(also deleted users, query, reach).limit(page.limit()).load(c)
        })?;
        let Some(fragment) = &filter.fragment else { return Ok(page.page(rows, row_id)) };
        Ok(page.page_of(rows, row_id, |row| has_fragment(row, fragment)))
    }
}
