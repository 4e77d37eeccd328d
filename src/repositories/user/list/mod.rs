//! Lists of users. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of rows.

mod by_value;
mod members;
mod search;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        Span, between, compared, in_period,
        reach::{OWN, organizations_of},
        spanned,
    },
    UserRepository, UserRow,
};
use crate::{
    db::{
        query,
        schema::{memberships, users},
    },
    error::Result,
    models::{
        Cursor, MetadataKind, OrganizationId, Page, PageRequest, Reach, StateFilter, User, UserFilter, UserId,
        text::prefix_end,
    },
};

/// Filters by state, where the list is driven by the index of the state.
macro_rules! in_state {
    ($query:expr, $filter:expr) => {
        match $filter.state {
            StateFilter::NotDeleted => $query.filter(users::deleted_at.is_null()),
            StateFilter::Is(state) => $query.filter(users::deleted_at.is_null()).filter(users::state.eq(state)),
            StateFilter::Deleted => $query.filter(users::deleted_at.is_not_null()),
        }
    };
}

/// Compares the state and the creation time of rows that another index found.
macro_rules! compared_with {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = $query;
        query = match $filter.state {
            StateFilter::NotDeleted => query.filter(compared(users::deleted_at.is_null())),
            StateFilter::Is(state) => {
                query.filter(compared(users::deleted_at.is_null())).filter(compared(users::state.eq(state)))
            }
            StateFilter::Deleted => query.filter(compared(users::deleted_at.is_not_null())),
        };
        since!(in_period!(query, users::created_at, $page.created), $filter)
    }};
}

/// Compares the last change and the last sign-in.
macro_rules! since {
    ($query:expr, $filter:expr) => {{
        let mut query = $query;
        if let Some(from) = $filter.updated_from {
            query = query.filter(compared(users::updated_at.ge(from)));
        }
        if let Some(from) = $filter.last_sign_in.from {
            query = query.filter(compared(users::last_sign_in_at.ge(from)));
        }
        if let Some(before) = $filter.last_sign_in.before {
            let absent = users::last_sign_in_at.is_null().or(users::last_sign_in_at.lt(before));
            query = query.filter(compared(absent));
        }
        let entries = $filter.metadata.of(MetadataKind::User, MetadataKind::UserPrivate);
        $crate::repositories::metadata::compared_with_entries!(query, entries, users::id)
    }};
}

/// True if the filter has conditions that no index serves.
fn is_partial(filter: &UserFilter) -> bool {
    filter.updated_from.is_some() || !filter.last_sign_in.is_all() || filter.metadata.is_any()
}

/// After every id.
const LAST_ID: UserId = UserId(Uuid::max());

/// A position in the order of e-mail and id.
type EmailPlace = (String, UserId);

fn row_id(row: &UserRow) -> Cursor {
    Cursor::by_id(row.id)
}

fn row_email(row: &UserRow) -> Cursor {
    Cursor::by_text((row.email_normalized.as_str().to_owned(), row.id))
}

impl UserRepository<'_> {
    /// A page of users, in order of creation, or of address and id if the filter has a prefix. Deleted ones are listed only for a reach of
    /// everything.
    pub async fn list(&mut self, reach: &Reach, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let organization_id = match *reach {
            Reach::Organization(id) => filter.organization_id.or(Some(id)),
            Reach::Everything(_) | Reach::User(_) => filter.organization_id,
        };
        if let Some(id) = organization_id
            && !self.has_within(reach, id).await?
        {
            return Ok(page.page(Vec::<UserRow>::new(), row_id));
        }
        if let Some(external_id) = &filter.external_id {
            return self.list_by_external_id(reach, organization_id, external_id, filter, page).await;
        }
        if let Some(fragment) = &filter.fragment
            && organization_id.is_none()
            && reach.is_everything()
        {
            return self.search_all(fragment, filter, page).await;
        }
        match (organization_id, *reach, &filter.email_prefix) {
            (Some(id), _, None) => self.list_members(&[id], None, filter, page).await,
            (Some(id), _, Some(prefix)) => self.list_members_by_email(&[id], None, prefix.as_str(), filter, page).await,
            (None, Reach::User(user), prefix) => {
                // The user itself, and all members of its organizations.
                let own: Vec<OrganizationId> = query!(self.conn, c => organizations_of!(user).load(c))?;
                match prefix {
                    None => self.list_members(&own, Some(user), filter, page).await,
                    Some(prefix) => self.list_members_by_email(&own, Some(user), prefix.as_str(), filter, page).await,
                }
            }
            (None, _, None) => match filter.metadata.driving(MetadataKind::User, MetadataKind::UserPrivate) {
                Some(entry) => self.list_by_entry(entry, filter, page).await,
                None => self.list_all(filter, page).await,
            },
            (None, _, Some(prefix)) => self.list_all_by_email(prefix.as_str(), filter, page).await,
        }
    }

    /// True if the members of an organization are within reach.
    async fn has_within(&mut self, reach: &Reach, organization: OrganizationId) -> Result<bool> {
        match *reach {
            Reach::Everything(_) => Ok(true),
            Reach::Organization(own) => Ok(own == organization),
            Reach::User(user) => {
                let own: Option<OrganizationId> = query!(self.conn, c => {
                    let own = organizations_of!(user).filter(OWN.field(memberships::organization_id).eq(organization));
                    async move { own.get_result(c).await.optional() }
                })?;
                Ok(own.is_some())
            }
        }
    }

    /// A page of all users.
    async fn list_all(&mut self, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let span = Span::of(page);
        let mut searched_to: Option<UserId> = None;
        if is_partial(filter) {
            searched_to = query!(self.conn, c => {
                let query = in_state!(users::table.select(users::id).into_boxed::<Backend>(), filter);
                let last = spanned!(query, users::id, UserId, span, page.order).limit(1).offset(page.look_with(&filter.metadata) - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = searched_to.map_or(span, |last| span.until(last.0, page.order));
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = in_state!(users::table.select(UserRow::as_select()).into_boxed::<Backend>(), filter);
            let query = since!(in_period!(query, users::created_at, page.created), filter);
            spanned!(query, users::id, UserId, span, page.order).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_id), row_id))
    }

    /// A page of all users whose e-mail has this prefix.
    async fn list_all_by_email(&mut self, prefix: &str, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let after: EmailPlace = page.begin(prefix);
        macro_rules! searched {
            ($query:expr, $searched_to:expr) => {{
                let query = match filter.state {
                    StateFilter::Deleted => $query.filter(users::deleted_at.is_not_null()),
                    StateFilter::NotDeleted | StateFilter::Is(_) => $query.filter(users::deleted_at.is_null()),
                };
                let query = between!(query, prefix, after, $searched_to, users::email_normalized, users::id);
                query.order((users::email_normalized, users::id))
            }};
        }
        let mut searched_to: Option<EmailPlace> = None;
        if matches!(filter.state, StateFilter::Is(_)) || !page.created.is_all() || is_partial(filter) {
            searched_to = query!(self.conn, c => {
                let query = users::table.select((users::email_normalized, users::id)).into_boxed::<Backend>();
                let last = searched!(query, &None::<EmailPlace>).limit(1).offset(page.look_with(&filter.metadata) - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.select(UserRow::as_select()).into_boxed::<Backend>();
            let query = searched!(query, &searched_to);
            compared_with!(query, filter, page).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_text), row_email))
    }
}

use {compared_with, since};
