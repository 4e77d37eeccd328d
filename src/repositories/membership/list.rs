//! Lists of memberships, and of members with their profiles.
//!
//! A list of members is driven by the index of its order, of a single role or of a single state; what the index does not serve is compared
//! row by row, up to a number of rows. What is compared is stored with the membership, so that no user is read who is not on the page.

use std::collections::HashMap;

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{MemberCopy, MembershipRepository, MembershipRow, Span, compared, in_period, metadata, spanned, within};
use crate::{
    db::{
        query,
        schema::{memberships, organizations, users},
    },
    error::Result,
    models::{
        Cursor, Member, MemberFilter, MemberOrder, Membership, MembershipFilter, MembershipId, MetadataKind, Name,
        Order, Page, PageRequest, Profile, Reach, RoleName, Timestamp, UserId, UserState, WebUrl, email::GivenEmail,
    },
};

/// The columns of a [`Profile`].
type ProfileRow = (UserId, GivenEmail, Name, Option<WebUrl>, UserState, Option<Timestamp>, Option<Timestamp>);

/// A membership with the text that it is searched and ordered by.
type FoundRow = (MembershipRow, String);

/// A position in the order of the searched text and id.
type NamePlace = (String, MembershipId);

/// Compares what no index serves.
macro_rules! filtered {
    ($query:expr, $filter:expr, $page:expr) => {{
        let mut query = in_period!($query, memberships::created_at, $page.created);
        query = match $filter.state {
            Some(state) => query.filter(compared(memberships::user_state.eq(MemberCopy::state(state)))),
            None => query.filter(compared(memberships::user_state.ne(MemberCopy::DELETED))),
        };
        if let Some(state) = $filter.membership_state {
            query = query.filter(compared(memberships::state.eq(state)));
        }
        if !$filter.roles.is_empty() {
            query = query.filter(compared(memberships::role.eq_any(&$filter.roles)));
        }
        if let Some(fragment) = &$filter.fragment {
            query = query.filter(compared(memberships::user_search.like(fragment.pattern()).escape('\\')));
        }
        query
    }};
}

/// Restricts members to what the list's index serves, in order of joining.
macro_rules! joined {
    ($query:expr, $driver:expr, $span:expr, $page:expr) => {{
        let query = match $driver {
            Driver::Role(role) => $query.filter(memberships::role.eq(role)),
            Driver::State(state) => $query.filter(memberships::user_state.eq(state)),
            Driver::Organization => $query,
        };
        spanned!(query, memberships::id, MembershipId, $span, $page.order)
    }};
}

/// Restricts members to those after a position in order of name.
macro_rules! named {
    ($query:expr, $after:expr, $searched_to:expr) => {{
        let (text, id) = (memberships::user_search, memberships::id);
        let mut query = $query;
        if let Some((after, last)) = $after {
            query = query
                .filter(text.ge(String::clone(after)))
                .filter(compared(text.gt(String::clone(after)).or(id.gt(*last))));
        }
        if let Some((end, last)) = $searched_to {
            query = query
                .filter(text.le(String::clone(end)))
                .filter(compared(text.lt(String::clone(end)).or(id.le(*last))));
        }
        query.order((text, id))
    }};
}

/// The index that finds members in order of joining.
#[derive(Clone, Copy)]
enum Driver<'a> {
    Role(&'a RoleName),
    State(&'static str),
    Organization,
}

impl<'a> Driver<'a> {
    fn of(filter: &'a MemberFilter) -> Self {
        match (filter.roles.as_slice(), filter.state) {
            ([role], _) => Self::Role(role),
            (_, Some(state)) => Self::State(MemberCopy::state(state)),
            (_, None) => Self::Organization,
        }
    }

    /// True if the filter has conditions beyond what the index serves. Nearly all members are not deleted.
    fn is_partial(self, filter: &MemberFilter) -> bool {
        filter.fragment.is_some()
            || filter.membership_state.is_some()
            || match self {
                Self::Role(_) => filter.state.is_some(),
                Self::State(_) | Self::Organization => !filter.roles.is_empty(),
            }
    }
}

fn by_id((row, _): &FoundRow) -> Cursor {
    Cursor::by_id(row.id)
}

fn by_name((row, text): &FoundRow) -> Cursor {
    Cursor::by_text((text.clone(), row.id))
}

/// The columns of [`FoundRow`].
macro_rules! found_rows {
    () => {
        memberships::table.select((MembershipRow::as_select(), memberships::user_search)).into_boxed::<Backend>()
    };
}

impl MembershipRepository<'_> {
    /// A page of memberships, in order of creation.
    pub async fn list(
        &mut self,
        reach: &Reach,
        filter: &MembershipFilter,
        page: &PageRequest,
    ) -> Result<Page<Membership>> {
        if let (Some(organization), None) = (filter.organization_id, filter.user_id) {
            if let Some(external_id) = &filter.external_id {
                return self.list_by_external_id(reach, organization, external_id, filter, page).await;
            }
            let driving = filter.metadata.driving(MetadataKind::Membership, MetadataKind::MembershipPrivate);
            if let Some(entry) = driving {
                return self.list_by_entry(reach, organization, entry, filter, page).await;
            }
        }
        // A user reaches all of its own memberships; repeating that condition would hide the index from the planner.
        let is_own = matches!(*reach, Reach::User(own) if filter.user_id == Some(own));
        let reach = if is_own { &Reach::by_system() } else { reach };
        let rows: Vec<MembershipRow> = query!(self.conn, c => {
            let mut query = memberships::table.select(MembershipRow::as_select()).into_boxed::<Backend>();
            if let Some(id) = filter.organization_id {
                query = query.filter(memberships::organization_id.eq(id));
            }
            if let Some(id) = filter.user_id {
                query = query.filter(memberships::user_id.eq(id));
            }
            query = match &filter.role {
                // A user has few memberships, so the role is only compared; those of an organization are found by an index.
                Some(role) if filter.user_id.is_some() => query.filter(compared(memberships::role.eq(role))),
                Some(role) => query.filter(memberships::role.eq(role)),
                None => query,
            };
            if let Some(id) = &filter.external_id {
                query = query.filter(compared(memberships::external_id.eq(id)));
            }
            let entries = filter.metadata.of(MetadataKind::Membership, MetadataKind::MembershipPrivate);
            query = metadata::compared_with_entries!(query, entries, memberships::id);
            let query = in_period!(query, memberships::created_at, page.created);
            let query = spanned!(query, memberships::id, MembershipId, Span::of(page), page.order);
            within!(memberships, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// A page of the members of an organization, with their profiles. Takes no reach: the caller sees the organization.
    pub async fn list_members(&mut self, filter: &MemberFilter, page: &PageRequest) -> Result<Page<Member>> {
        let (found, searched_to) = match (&filter.users, filter.order) {
            (Some(users), _) => (self.members_among(users, filter, page).await?, None),
            (None, MemberOrder::Joined) => self.members_joined(filter, page).await?,
            (None, MemberOrder::Name) => self.members_named(filter, page).await?,
        };
        let cursor: fn(&FoundRow) -> Cursor = if filter.order == MemberOrder::Name { by_name } else { by_id };
        let found: Page<Found> = page.page_looked_at(found, searched_to, cursor);
        let ids: Vec<UserId> = found.rows.iter().map(|(_, found)| found.0.user_id).collect();
        let mut profiles = self.profiles(&ids).await?;
        let member = |(cursor, Found(membership)): (Cursor, Found)| {
            // A user erased since is no member any more.
            let profile = profiles.remove(&membership.user_id)?;
            Some((cursor, Member { membership, profile }))
        };
        let last = found.rows.last().map(|(cursor, _)| cursor.clone());
        let rows = found.rows.into_iter().filter_map(member).collect();
        // The page continues after its last row, even if that row is gone.
        let searched_to = found.searched_to.or(last.filter(|_| found.has_more));
        Ok(Page { rows, has_more: found.has_more, searched_to })
    }

    /// Members in order of joining, and how far was looked.
    async fn members_joined(
        &mut self,
        filter: &MemberFilter,
        page: &PageRequest,
    ) -> Result<(Vec<FoundRow>, Option<Cursor>)> {
        let driver = Driver::of(filter);
        let span = Span::of(page);
        let mut searched_to: Option<MembershipId> = None;
        if driver.is_partial(filter) {
            searched_to = query!(self.conn, c => {
                let query = memberships::table.select(memberships::id).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq(filter.organization_id));
                let last = joined!(query, driver, span, page).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = searched_to.map_or(span, |last| span.until(last.0, page.order));
        let rows = query!(self.conn, c => {
            let query = found_rows!().filter(memberships::organization_id.eq(filter.organization_id));
            let query = filtered!(query, filter, page);
            joined!(query, driver, span, page).limit(page.limit()).load(c)
        })?;
        Ok((rows, searched_to.map(Cursor::by_id)))
    }

    /// Members in order of name, and how far was looked.
    async fn members_named(
        &mut self,
        filter: &MemberFilter,
        page: &PageRequest,
    ) -> Result<(Vec<FoundRow>, Option<Cursor>)> {
        let after: Option<NamePlace> = page.after.as_ref().map(|_| page.begin(""));
        let is_partial = filter.fragment.is_some()
            || filter.membership_state.is_some()
            || filter.state.is_some()
            || !filter.roles.is_empty()
            || !page.created.is_all();
        let mut searched_to: Option<NamePlace> = None;
        if is_partial {
            searched_to = query!(self.conn, c => {
                let places = (memberships::user_search, memberships::id);
                let query = memberships::table.select(places).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq(filter.organization_id));
                let last = named!(query, &after, &None::<NamePlace>).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows = query!(self.conn, c => {
            let query = found_rows!().filter(memberships::organization_id.eq(filter.organization_id));
            let query = filtered!(query, filter, page);
            named!(query, &after, &searched_to).limit(page.limit()).load(c)
        })?;
        Ok((rows, searched_to.map(Cursor::by_text)))
    }

    /// Members among a few users, in the order of the filter.
    async fn members_among(
        &mut self,
        users: &[UserId],
        filter: &MemberFilter,
        page: &PageRequest,
    ) -> Result<Vec<FoundRow>> {
        let mut rows: Vec<FoundRow> = query!(self.conn, c => {
            let query = found_rows!()
                .filter(memberships::user_id.eq_any(users))
                .filter(memberships::organization_id.eq(filter.organization_id));
            filtered!(query, filter, page).load(c)
        })?;
        let place = |row: &FoundRow| (row.1.clone(), row.0.id);
        match (filter.order, page.order) {
            (MemberOrder::Name, _) => {
                let after: Option<NamePlace> = page.after.as_ref().map(|_| page.begin(""));
                rows.retain(|row| after.as_ref().is_none_or(|after| place(row) > *after));
                rows.sort_by_cached_key(place);
            }
            (MemberOrder::Joined, order) => {
                let span = Span::of(page);
                rows.retain(|(row, _)| span.contains(row.id.0));
                rows.sort_unstable_by_key(|(row, _)| row.id);
                if order == Order::NewestFirst {
                    rows.reverse();
                }
            }
        }
        rows.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn profiles(&mut self, ids: &[UserId]) -> Result<HashMap<UserId, Profile>> {
        let rows: Vec<ProfileRow> = query!(self.conn, c => {
            users::table
                .filter(users::id.eq_any(ids))
                .select((
                    users::id,
                    users::email,
                    users::name,
                    users::avatar_url,
                    users::state,
                    users::email_verified_at,
                    users::last_sign_in_at,
                ))
                .load(c)
        })?;
        let profile = |(user_id, email, name, avatar_url, state, email_verified_at, last_sign_in_at)| {
            (user_id, Profile { user_id, email, name, avatar_url, state, email_verified_at, last_sign_in_at })
        };
        Ok(rows.into_iter().map(profile).collect())
    }
}

/// A membership that was found.
struct Found(Membership);

impl From<FoundRow> for Found {
    fn from((row, _): FoundRow) -> Self {
        Self(row.into())
    }
}
