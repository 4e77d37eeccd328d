//! How users are stored.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    MAX_BATCH, between, compared, left,
    reach::{OWN, SEEN, first_within, organizations_of, within},
    row,
};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{memberships, users},
    },
    error::Result,
    models::{
        Action, Cursor, ExternalId, Impact, JsonObject, Locked, Name, NormalizedEmail, Page, PageRequest, Reach,
        Resource as _, Revision, StateFilter, Timestamp, User, UserFilter, UserId, UserState, WebUrl,
        email::GivenEmail, text::prefix_end,
    },
    security::random::first_uuid_at,
};

row!(users: UserRow of User {
    id: UserId,
    revision: Revision,
    email: GivenEmail,
    email_normalized: NormalizedEmail,
    name: Name,
    avatar_url: Option<WebUrl>,
    email_verified_at: Option<Timestamp>,
    is_platform_admin: bool,
    state: UserState,
    metadata: JsonObject,
    deleted_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    external_id: Option<ExternalId>,
});

/// Stores users.
pub struct UserRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// The state that a list asks for, where its index is that of the state.
macro_rules! in_state {
    ($query:expr, $filter:expr) => {
        match $filter.state {
            StateFilter::NotDeleted => $query.filter(users::deleted_at.is_null()),
            StateFilter::Is(state) => $query.filter(users::deleted_at.is_null()).filter(users::state.eq(state)),
            StateFilter::Deleted => $query.filter(users::deleted_at.is_not_null()),
        }
    };
}

/// The state and the times of a list, compared with what another index found.
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
        query
    }};
}

/// Which ids a list holds: from the first, or after the one, up to the last. There is one bound at each end: of two, SQLite searches
/// by the first and walks to the other. Ids begin with the time, so times are bounds of them.
#[derive(Clone, Copy, Default)]
struct Range {
    from: Option<UserId>,
    after: Option<UserId>,
    before: Option<UserId>,
    up_to: Option<UserId>,
}

impl Range {
    fn of(filter: &UserFilter, after: Option<UserId>) -> Self {
        let from = filter.created_from.map(|from| UserId(first_uuid_at(from)));
        let before = filter.created_before.map(|before| UserId(first_uuid_at(before)));
        Self { before, up_to: None, ..Self { from, ..Self::default() }.begun_after(after) }
    }

    /// The part of it that begins after an id.
    fn begun_after(self, after: Option<UserId>) -> Self {
        match (self.from, after) {
            (Some(from), Some(after)) if from > after => self,
            (_, Some(after)) => Self { from: None, after: Some(after), ..self },
            (_, None) => self,
        }
    }

    /// The part of it that ends with an id, if that is within it.
    fn ended_with(self, last: Option<UserId>) -> Self {
        match last {
            Some(last) if self.before.is_none_or(|before| last < before) => {
                Self { before: None, up_to: Some(last), ..self }
            }
            _ => self,
        }
    }

    fn contains(self, id: UserId) -> bool {
        self.from.is_none_or(|from| id >= from)
            && self.after.is_none_or(|after| id > after)
            && self.before.is_none_or(|before| id < before)
            && self.up_to.is_none_or(|last| id <= last)
    }
}

/// The rows whose id is in a range.
macro_rules! in_range {
    ($query:expr, $range:expr, $id:expr) => {{
        let (mut query, range): (_, Range) = ($query, $range);
        if let Some(from) = range.from {
            query = query.filter($id.ge(from));
        }
        if let Some(after) = range.after {
            query = query.filter($id.gt(after));
        }
        if let Some(before) = range.before {
            query = query.filter($id.lt(before));
        }
        if let Some(last) = range.up_to {
            query = query.filter($id.le(last));
        }
        query
    }};
}

/// A place in the order of e-mail and id.
type EmailPlace = (String, UserId);

fn email_place(cursor: &Cursor) -> EmailPlace {
    (cursor.text.clone().unwrap_or_default(), UserId(cursor.id))
}

fn email_cursor((text, id): EmailPlace) -> Cursor {
    Cursor { text: Some(text), id: id.0 }
}

fn id_cursor(id: UserId) -> Cursor {
    Cursor { text: None, id: id.0 }
}

/// No id is after it.
fn last_id() -> UserId {
    UserId(uuid::Uuid::max())
}

/// Where the page before ended.
fn page_end(page: &PageRequest) -> Option<UserId> {
    page.after.as_ref().map(|cursor| UserId(cursor.id))
}

fn row_id(row: &UserRow) -> Cursor {
    id_cursor(row.id)
}

fn row_email(row: &UserRow) -> Cursor {
    email_cursor((row.email_normalized.as_str().to_owned(), row.id))
}

/// True if a filter asks for users of a time.
fn is_of_a_time(filter: &UserFilter) -> bool {
    filter.created_from.is_some() || filter.created_before.is_some()
}

/// How many members of each of a user's organizations are looked at, at first, beyond the organization's part of a page.
const STEP: i64 = 8;

impl UserRepository<'_> {
    /// Stores a new user.
    ///
    /// # Errors
    /// [`Taken::UserEmail`](crate::error::Taken::UserEmail).
    pub async fn insert(&mut self, user: &User) -> Result<()> {
        execute!(self.conn, diesel::insert_into(users::table).values(UserRow::from(user)))?;
        self.conn.made(Action::UserCreated, user);
        Ok(())
    }

    /// The user of an id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&mut self, reach: &Reach, id: UserId) -> Result<Option<User>> {
        let row: Option<UserRow> =
            first_within!(self.conn, users, users::table.filter(users::id.eq(id)).select(UserRow::as_select()), reach)?;
        Ok(row.map(User::from))
    }

    /// The user of an address.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_by_email(&mut self, reach: &Reach, email: &NormalizedEmail) -> Result<Option<User>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::email_normalized.eq(email));
            let query = query.select(UserRow::as_select()).into_boxed::<Backend>();
            async { within!(users, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(User::from))
    }

    /// The users of some ids, in any order.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_many(&mut self, reach: &Reach, ids: &[UserId]) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select()).into_boxed::<Backend>();
            within!(users, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// A page of users, in order of id, or of address and id when the filter has a prefix. The deleted are listed for a
    /// reach of everything only.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn list(&mut self, reach: &Reach, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let organization_id = match *reach {
            Reach::Organization(id) => filter.organization_id.or(Some(id)),
            Reach::Everything | Reach::User(_) => filter.organization_id,
        };
        match (organization_id, *reach, &filter.email_prefix) {
            (Some(id), ..) if !self.has_within(reach, id).await? => Ok(page.page(Vec::<UserRow>::new(), row_id)),
            (Some(id), _, None) => self.list_members(id, filter, page).await,
            (Some(id), _, Some(prefix)) => self.list_members_by_email(id, prefix, filter, page).await,
            (None, Reach::User(user), None) => self.list_around(user, filter, page).await,
            (None, Reach::User(user), Some(prefix)) => self.list_around_by_email(user, prefix, filter, page).await,
            (None, _, None) => self.list_all(filter, page).await,
            (None, _, Some(prefix)) => self.list_all_by_email(prefix, filter, page).await,
        }
    }

    /// True if the members of an organization are within a reach.
    async fn has_within(&mut self, reach: &Reach, organization: OrganizationId) -> Result<bool> {
        match *reach {
            Reach::Everything => Ok(true),
            Reach::Organization(own) => Ok(own == organization),
            Reach::User(user) => {
                let own: Option<OrganizationId> = query!(self.conn, c => {
                    let own = organizations_of!(user).filter(OWN.field(memberships::organization_id).eq(organization));
                    async { own.get_result(c).await.optional() }
                })?;
                Ok(own.is_some())
            }
        }
    }

    /// A page of everybody.
    async fn list_all(&mut self, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = in_state!(users::table.select(UserRow::as_select()).into_boxed::<Backend>(), filter);
            let mut query = in_range!(query, Range::of(filter, page_end(page)), users::id);
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

    /// A page of everybody whose e-mail begins so.
    async fn list_all_by_email(&mut self, prefix: &str, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let after = page.after.as_ref().map(email_place);
        macro_rules! searched {
            ($query:expr, $looked_to:expr) => {{
                let query = match filter.state {
                    StateFilter::Deleted => $query.filter(users::deleted_at.is_not_null()),
                    StateFilter::NotDeleted | StateFilter::Is(_) => $query.filter(users::deleted_at.is_null()),
                };
                let query = between!(query, prefix, &after, $looked_to, users::email_normalized, users::id);
                query.order((users::email_normalized, users::id))
            }};
        }
        let mut looked_to: Option<EmailPlace> = None;
        if matches!(filter.state, StateFilter::Is(_)) || is_of_a_time(filter) {
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
        Ok(page.page_looked_at(rows, looked_to.map(email_cursor), row_email))
    }

    /// A page of the members of an organization.
    async fn list_members(
        &mut self,
        organization: OrganizationId,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let range = Range::of(filter, page_end(page));
        macro_rules! searched {
            ($query:expr, $range:expr) => {{
                let query = $query.filter(memberships::organization_id.eq(organization));
                in_range!(query, $range, memberships::user_id).order(memberships::user_id)
            }};
        }
        let mut looked_to: Option<UserId> = None;
        if !matches!(filter.state, StateFilter::NotDeleted) {
            looked_to = query!(self.conn, c => {
                let query = memberships::table.select(memberships::user_id).into_boxed::<Backend>();
                let last = searched!(query, range).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let members = memberships::table.inner_join(users::table.on(users::id.eq(memberships::user_id)));
            let query = members.select(UserRow::as_select()).into_boxed::<Backend>();
            let query = searched!(query, range.ended_with(looked_to));
            compared_with!(query, filter).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, looked_to.map(id_cursor), row_id))
    }

    /// A page of the members of an organization whose e-mail begins so.
    async fn list_members_by_email(
        &mut self,
        organization: OrganizationId,
        prefix: &str,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let after = page.after.as_ref().map(email_place);
        macro_rules! searched {
            ($query:expr, $looked_to:expr) => {{
                let query = $query.filter(memberships::organization_id.eq(organization));
                let query =
                    between!(query, prefix, &after, $looked_to, memberships::user_email, memberships::user_id);
                query.order((memberships::user_email, memberships::user_id))
            }};
        }
        let mut looked_to: Option<EmailPlace> = None;
        if !matches!(filter.state, StateFilter::NotDeleted) || is_of_a_time(filter) {
            looked_to = query!(self.conn, c => {
                let places = (memberships::user_email, memberships::user_id);
                let query = memberships::table.select(places).into_boxed::<Backend>();
                let last = searched!(query, &None::<EmailPlace>).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let members = memberships::table.inner_join(users::table.on(users::id.eq(memberships::user_id)));
            let query = searched!(members.select(UserRow::as_select()).into_boxed::<Backend>(), &looked_to);
            compared_with!(query, filter).limit(page.limit()).load(c)
        })?;
        Ok(page.page_looked_at(rows, looked_to.map(email_cursor), row_email))
    }

    /// A page of a user and of those who share an organization with it. The members of its organizations are merged in order:
    /// of each, no more are read than may stand on the page.
    async fn list_around(&mut self, user: UserId, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let own: Vec<OrganizationId> = query!(self.conn, c => organizations_of!(user).load(c))?;
        let mut range = Range::of(filter, page_end(page));
        let mut step = STEP + page.limit() / i64::try_from(own.len().max(1)).unwrap_or(i64::MAX);
        let (mut rows, mut looked): (Vec<UserRow>, i64) = (Vec::new(), 0);
        loop {
            // Up to the nearest of the places that are so many members further in each, nobody is missed.
            let ends: Vec<Option<UserId>> = query!(self.conn, c => {
                let further = SEEN.select(SEEN.field(memberships::user_id)).into_boxed::<Backend>();
                let further = in_range!(further, range, SEEN.field(memberships::user_id))
                    .filter(SEEN.field(memberships::organization_id).eq(OWN.field(memberships::organization_id)))
                    .order(SEEN.field(memberships::user_id))
                    .limit(1)
                    .offset(step);
                OWN.filter(OWN.field(memberships::user_id).eq(user))
                    .filter(OWN.field(memberships::organization_id).eq_any(&own))
                    .select(further.single_value())
                    .load(c)
            })?;
            let end = ends.into_iter().flatten().min();
            let mut found: Vec<UserId> = query!(self.conn, c => {
                let query = memberships::table.select(memberships::user_id).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq_any(&own));
                in_range!(query, range.ended_with(end), memberships::user_id).load(c)
            })?;
            looked += i64::try_from(found.len()).unwrap_or(i64::MAX);
            found.extend(Some(user).filter(|user| range.ended_with(end).contains(*user)));
            found.sort_unstable();
            found.dedup();
            for ids in found.chunks(page.size.saturating_add(1)) {
                let more: Vec<UserRow> = query!(self.conn, c => {
                    let query = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select());
                    compared_with!(query.into_boxed::<Backend>(), filter).load(c)
                })?;
                let begun = rows.len();
                rows.extend(more);
                if let Some(more) = rows.get_mut(begun..) {
                    more.sort_unstable_by_key(|row| row.id);
                }
                if rows.len() > page.size {
                    break;
                }
            }
            if rows.len() > page.size || end.is_none() || looked >= page.look() {
                return Ok(page.page_looked_at(rows, end.map(id_cursor), row_id));
            }
            (range, step) = (range.begun_after(end), step.saturating_mul(2));
        }
    }

    /// A page of a user and of those who share an organization with it, whose e-mail begins so.
    async fn list_around_by_email(
        &mut self,
        user: UserId,
        prefix: &str,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let own: Vec<OrganizationId> = query!(self.conn, c => organizations_of!(user).load(c))?;
        let email: Option<String> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(user)).select(users::email_normalized);
            async { query.get_result(c).await.optional() }
        })?;
        let itself = email.filter(|email| email.starts_with(prefix)).map(|email| (email, user));
        let mut after = page.after.as_ref().map(email_place);
        let mut step = STEP + page.limit() / i64::try_from(own.len().max(1)).unwrap_or(i64::MAX);
        let (mut rows, mut looked): (Vec<UserRow>, i64) = (Vec::new(), 0);
        loop {
            let ends: Vec<Option<String>> = query!(self.conn, c => {
                let further = SEEN.select(SEEN.field(memberships::user_email)).into_boxed::<Backend>();
                let (text, id) = (SEEN.field(memberships::user_email), SEEN.field(memberships::user_id));
                let further = between!(further, prefix, &after, &None::<EmailPlace>, text, id)
                    .filter(SEEN.field(memberships::organization_id).eq(OWN.field(memberships::organization_id)))
                    .order((SEEN.field(memberships::user_email), SEEN.field(memberships::user_id)))
                    .limit(1)
                    .offset(step);
                OWN.filter(OWN.field(memberships::user_id).eq(user))
                    .filter(OWN.field(memberships::organization_id).eq_any(&own))
                    .select(further.single_value())
                    .load(c)
            })?;
            // All that have the e-mail of the place: a deleted user may share it.
            let end = ends.into_iter().flatten().min();
            let mut found: Vec<EmailPlace> = query!(self.conn, c => {
                let places = (memberships::user_email, memberships::user_id);
                let query = memberships::table.select(places).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq_any(&own));
                let up_to = end.clone().map(|text| (text, last_id()));
                let query = between!(query, prefix, &after, &up_to, memberships::user_email, memberships::user_id);
                query.load(c)
            })?;
            looked += i64::try_from(found.len()).unwrap_or(i64::MAX);
            let is_beyond = |place: &EmailPlace| {
                after.as_ref().is_some_and(|after| place <= after) || end.as_ref().is_some_and(|end| place.0 > *end)
            };
            found.extend(itself.clone().filter(|place| !is_beyond(place)));
            found.sort_unstable();
            found.dedup();
            let ids: Vec<UserId> = found.iter().map(|(_, id)| *id).collect();
            for ids in ids.chunks(page.size.saturating_add(1)) {
                let more: Vec<UserRow> = query!(self.conn, c => {
                    let query = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select());
                    compared_with!(query.into_boxed::<Backend>(), filter).load(c)
                })?;
                let begun = rows.len();
                rows.extend(more);
                if let Some(more) = rows.get_mut(begun..) {
                    more.sort_unstable_by(|one, other| {
                        let place = |row: &UserRow| (row.email_normalized.as_str().to_owned(), row.id);
                        place(one).cmp(&place(other))
                    });
                }
                if rows.len() > page.size {
                    break;
                }
            }
            if rows.len() > page.size || end.is_none() || looked >= page.look() {
                // The place after everybody who has the e-mail.
                let looked_to = end.map(|text| Cursor { text: Some(text), id: last_id().0 });
                return Ok(page.page_looked_at(rows, looked_to, row_email));
            }
            (after, step) = (end.map(|text| (text, last_id())), step.saturating_mul(2));
        }
    }

    /// Locks a user.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock(&mut self, reach: &Reach, id: UserId) -> Result<Option<Locked<User>>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(id)).select(UserRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(users, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks a user that may be deleted.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock_also_deleted(&mut self, reach: &Reach, id: UserId) -> Result<Option<Locked<User>>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(id)).select(UserRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(also deleted users, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks all active platform admins, so that two of them cannot end each other at once, and tells their ids. It takes no
    /// reach: whether one is left does not depend on who asks.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock_active_platform_admins(&mut self) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            let query = users::table
                .filter(users::is_platform_admin)
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .order(users::id)
                .select(users::id);
            ForUpdate(query).load(c)
        })
    }

    /// True if no user is stored. Only the first start asks, for nobody.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn none_exists(&mut self) -> Result<bool> {
        let any: Option<UserId> = query!(self.conn, c => async {
            users::table.select(users::id).limit(1).get_result(c).await.optional()
        })?;
        Ok(any.is_none())
    }

    /// The users that have some external ids. It takes no reach: only platform admins import.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn by_external_ids(&mut self, ids: &[ExternalId]) -> Result<Vec<(ExternalId, UserId)>> {
        let found: Vec<(Option<ExternalId>, UserId)> = query!(self.conn, c => {
            users::table
                .filter(users::external_id.eq_any(ids))
                .filter(users::deleted_at.is_null())
                .select((users::external_id, users::id))
                .load(c)
        })?;
        Ok(found.into_iter().filter_map(|(external_id, id)| Some((external_id?, id))).collect())
    }

    /// Those of some addresses that a user has. It takes no reach: only platform admins import.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn taken_emails(&mut self, emails: &[NormalizedEmail]) -> Result<Vec<NormalizedEmail>> {
        query!(self.conn, c => {
            users::table
                .filter(users::email_normalized.eq_any(emails))
                .filter(users::deleted_at.is_null())
                .select(users::email_normalized)
                .load(c)
        })
    }

    /// Writes a locked user as it is now.
    ///
    /// # Errors
    /// [`Taken::UserEmail`](crate::error::Taken::UserEmail).
    pub async fn save(&mut self, mut user: Locked<User>, action: Action, now: Timestamp) -> Result<User> {
        user.touch(now);
        let (before, user) = user.into_before_and_after();
        let found = users::table.filter(users::id.eq(user.id));
        execute!(self.conn, diesel::update(found).set(UserRow::from(&user)))?;
        if before.email_normalized != user.email_normalized {
            // What the members of its organizations are searched by. It is no change of the memberships.
            let own = memberships::table.filter(memberships::user_id.eq(user.id));
            let email = memberships::user_email.eq(user.email_normalized.as_str().to_owned());
            execute!(self.conn, diesel::update(own).set(email))?;
        }
        self.conn.changed(action, before, &user);
        Ok(user)
    }

    /// A batch of all users within a reach, in order of id, the deleted too.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn export(&mut self, reach: &Reach, after: Option<UserId>, limit: i64) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let mut query = users::table.select(UserRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything => query,
                Reach::User(id) => query.filter(users::id.eq(id)),
                // Users belong to no organization.
                Reach::Organization(_) => query.filter(users::id.ne(users::id)),
            };
            if let Some(after) = after {
                query = query.filter(users::id.gt(after));
            }
            query.order(users::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Up to `limit` users that were deleted before. It takes no reach: the service itself asks, for nobody.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn deleted_before(&mut self, before: Timestamp, limit: i64) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            users::table.filter(users::deleted_at.lt(before)).order(users::deleted_at).select(users::id).limit(limit).load(c)
        })
    }

    /// Removes up to `limit` things that hang on a locked user and tells how many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete_what_hangs_on(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let conn = &mut *self.conn;
        let mut removed = conn.memberships().delete_of_user(user, limit).await?;
        removed += conn.oauth_accounts().delete_of_user(user, left(limit, removed)).await?;
        removed += conn.refresh_tokens().delete_of_user(user, left(limit, removed), now).await?;
        removed += conn.api_keys().delete_of_user(user, left(limit, removed)).await?;
        // Keys of others that the user made.
        removed += conn.api_keys().forget_maker(user, left(limit, removed), now).await?;
        conn.passwords().delete_of_user(user).await?;
        conn.one_time_tokens().delete_of_user(user).await?;
        removed += conn.invitations().forget_inviter(user, left(limit, removed), now).await?;
        Ok(removed)
    }

    /// What hangs on a locked user and stops when the user does.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn impact(&mut self, user: &Locked<User>, now: Timestamp) -> Result<Impact> {
        Ok(Impact {
            memberships: self.conn.memberships().count_of_user(user).await?,
            api_keys: self.conn.api_keys().count_of_user(user).await?,
            sessions: self.conn.refresh_tokens().count_live(user, now).await?,
            invitations: self.conn.invitations().count_to(user).await?,
        })
    }

    /// Erases a locked user and everything that hangs on it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete(&mut self, user: Locked<User>, now: Timestamp) -> Result<()> {
        while self.delete_what_hangs_on(&user, MAX_BATCH, now).await? > 0 {}
        execute!(self.conn, diesel::delete(users::table.filter(users::id.eq(user.id))))?;
        self.conn.removed(Action::UserPurged, user.into_inner());
        Ok(())
    }
}
