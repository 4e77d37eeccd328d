//! Lists of users. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of rows.

mod by_value;
mod members;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    super::{
        between, compared,
        reach::{OWN, organizations_of},
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
    security::random::first_uuid_at,
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
    ($query:expr, $filter:expr) => {{
        let mut query = $query;
        query = match $filter.state {
            StateFilter::NotDeleted => query.filter(compared(users::deleted_at.is_null())),
            StateFilter::Is(state) => {
                query.filter(compared(users::deleted_at.is_null())).filter(compared(users::state.eq(state)))
            }
            StateFilter::Deleted => query.filter(compared(users::deleted_at.is_not_null())),
        };
        if let Some(from) = $filter.created_from {
            query = query.filter(users::created_at.ge(from));
        }
        if let Some(before) = $filter.created_before {
            query = query.filter(users::created_at.lt(before));
        }
        let entries = $filter.metadata.of(MetadataKind::User, MetadataKind::UserPrivate);
        $crate::repositories::metadata::compared_with_entries!(query, entries, users::id)
    }};
}

/// The range of ids in a list. There is one bound at each end: given two, SQLite seeks to the first and scans to the other. Ids begin with
/// the creation time, so times are bounds of ids.
#[derive(Clone, Copy)]
struct Range {
    /// Exclusive; no user has the nil id.
    after: UserId,
    /// Inclusive.
    up_to: UserId,
}

impl Range {
    fn of(filter: &UserFilter, page: &PageRequest) -> Self {
        let before = |time| UserId(Uuid::from_u128(first_uuid_at(time).as_u128().saturating_sub(1)));
        Self {
            after: filter.created_from.map_or(FIRST_ID, before),
            up_to: filter.created_before.map_or(LAST_ID, before),
        }
        .after(page.after.as_ref().map(|cursor| UserId(cursor.id)))
    }

    /// The part after `id`.
    fn after(self, id: Option<UserId>) -> Self {
        Self { after: id.map_or(self.after, |id| id.max(self.after)), ..self }
    }

    /// The part up to and including `id`.
    fn up_to(self, id: Option<UserId>) -> Self {
        Self { up_to: id.map_or(self.up_to, |id| id.min(self.up_to)), ..self }
    }

    fn contains(self, id: UserId) -> bool {
        self.after < id && id <= self.up_to
    }
}

/// Before every id.
const FIRST_ID: UserId = UserId(Uuid::nil());
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

/// True if the filter restricts the creation time.
fn is_of_a_time(filter: &UserFilter) -> bool {
    filter.created_from.is_some() || filter.created_before.is_some()
}

impl UserRepository<'_> {
    /// A page of users, in order of id, or of address and id if the filter has a prefix. Deleted ones are listed only for a reach of
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
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = in_state!(users::table.select(UserRow::as_select()).into_boxed::<Backend>(), filter);
            let range = Range::of(filter, page);
            let mut query = query.filter(users::id.gt(range.after)).filter(users::id.le(range.up_to));
            if let Some(from) = filter.created_from {
                query = query.filter(users::created_at.ge(from));
            }
            if let Some(before) = filter.created_before {
                query = query.filter(users::created_at.lt(before));
            }
            query.order(users::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, row_id))
    }

    /// A page of all users whose e-mail has this prefix.
    async fn list_all_by_email(&mut self, prefix: &str, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let after: EmailPlace = page.begin(prefix);
        macro_rules! searched {
            ($query:expr, $looked_to:expr) => {{
                let query = match filter.state {
                    StateFilter::Deleted => $query.filter(users::deleted_at.is_not_null()),
                    StateFilter::NotDeleted | StateFilter::Is(_) => $query.filter(users::deleted_at.is_null()),
                };
                let query = between!(query, prefix, after, $looked_to, users::email_normalized, users::id);
                query.order((users::email_normalized, users::id))
            }};
        }
        let mut looked_to: Option<EmailPlace> = None;
        if matches!(filter.state, StateFilter::Is(_)) || is_of_a_time(filter) || filter.metadata.is_any() {
            looked_to = query!(self.conn, c => {
                let query = users::table.select((users::email_normalized, users::id)).into_boxed::<Backend>();
                let last = searched!(query, &None::<EmailPlace>).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.select(UserRow::as_select()).into_boxed::<Backend>();
            let query = searched!(query, &looked_to);
            compared_with!(query, filter).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, looked_to.map(Cursor::by_text), row_email))
    }
}

use compared_with;
