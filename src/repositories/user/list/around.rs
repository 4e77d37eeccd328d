//! A user's list of those around it: the members of its organizations, merged in order.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    EmailPlace, LAST_ID, Range, UserRepository, UserRow, begin, between, compared, compared_with, email_cursor, id_cursor,
    organizations_of, row_email, row_id,
};
use crate::{
    db::{
        query,
        schema::{memberships, users},
    },
    error::Result,
    models::{OrganizationId, Page, PageRequest, StateFilter, User, UserFilter, UserId, text::prefix_end},
    repositories::reach::{OWN, SEEN},
};

/// How many members of each of a user's organizations are looked at, at first, beyond the organization's part of a page.
const STEP: i64 = 8;

impl UserRepository<'_> {
    /// A page of a user and of those who share an organization with it. The members of its organizations are merged in order:
    /// of each, no more are read than may stand on the page.
    pub(super) async fn list_around(&mut self, user: UserId, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        let own: Vec<OrganizationId> = query!(self.conn, c => organizations_of!(user).load(c))?;
        let mut range = Range::of(filter, page);
        let mut step = STEP + page.limit() / i64::try_from(own.len().max(1)).unwrap_or(i64::MAX);
        let (mut rows, mut looked): (Vec<UserRow>, i64) = (Vec::new(), 0);
        loop {
            // Up to the nearest of the places that are so many members further in each, nobody is missed.
            let ends: Vec<Option<UserId>> = query!(self.conn, c => {
                let further = SEEN
                    .filter(SEEN.field(memberships::organization_id).eq(OWN.field(memberships::organization_id)))
                    .filter(SEEN.field(memberships::user_id).gt(range.after))
                    .filter(SEEN.field(memberships::user_id).le(range.up_to))
                    .select(SEEN.field(memberships::user_id))
                    .order(SEEN.field(memberships::user_id))
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
                let range = range.up_to(end);
                query
                    .filter(memberships::user_id.gt(range.after))
                    .filter(memberships::user_id.le(range.up_to))
                    .load(c)
            })?;
            looked += i64::try_from(found.len()).unwrap_or(i64::MAX);
            found.extend(Some(user).filter(|user| range.up_to(end).contains(*user)));
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
            (range, step) = (range.after(end), step.saturating_mul(2));
        }
    }

    /// A page of a user and of those who share an organization with it, whose e-mail begins so.
    pub(super) async fn list_around_by_email(
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
        let mut after = begin(prefix, page);
        let mut step = STEP + page.limit() / i64::try_from(own.len().max(1)).unwrap_or(i64::MAX);
        let (mut rows, mut looked): (Vec<UserRow>, i64) = (Vec::new(), 0);
        loop {
            let ends: Vec<Option<String>> = query!(self.conn, c => {
                let (text, id) = (SEEN.field(memberships::user_email), SEEN.field(memberships::user_id));
                let further = SEEN
                    .filter(SEEN.field(memberships::organization_id).eq(OWN.field(memberships::organization_id)))
                    .filter(text.ge(after.0.clone()))
                    .filter(compared(text.gt(after.0.clone()).or(id.gt(after.1))))
                    .filter(text.lt(prefix_end(prefix)))
                    .select(text)
                    .order((text, id))
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
                let up_to = end.clone().map(|text| (text, LAST_ID));
                let query = between!(query, prefix, after, &up_to, memberships::user_email, memberships::user_id);
                query.load(c)
            })?;
            looked += i64::try_from(found.len()).unwrap_or(i64::MAX);
            let is_within = |place: &EmailPlace| *place > after && end.as_ref().is_none_or(|end| place.0 <= *end);
            found.extend(itself.clone().filter(is_within));
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
            // The place after everybody who has the e-mail.
            let end = end.map(|text| (text, LAST_ID));
            match end {
                Some(end) if rows.len() <= page.size && looked < page.look() => after = end,
                end => return Ok(page.page_looked_at(rows, end.map(email_cursor), row_email)),
            }
            step = step.saturating_mul(2);
        }
    }
}
