//! Lists of members of several organizations, merged in order.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    EmailPlace, LAST_ID, Span, UserRepository, UserRow, between, compared, compared_with, row_email, row_id, since,
};
use crate::{
    db::{
        query,
        schema::{memberships, organizations, users},
    },
    error::Result,
    models::{
        Cursor, MetadataKind, Order, OrganizationId, Page, PageRequest, Parts, StateFilter, User, UserFilter, UserId,
        text::prefix_end,
    },
    repositories::{in_order_of, in_period, reach::VISIBLE, spanned},
};

/// Members of each organization read in the first step, in addition to the organization's share of a page.
const STEP: i64 = 8;

/// The last of `found` if there may be more: members of this organization are known only up to there.
fn end_of<P: Clone>(found: &[P], step: i64) -> Option<P> {
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    found.last().filter(|_| found.len() >= step).cloned()
}

/// Members of each organization read in the first step.
fn first_step(organizations: &[OrganizationId], page: &PageRequest) -> i64 {
    STEP + page.limit() / i64::try_from(organizations.len().max(1)).unwrap_or(i64::MAX)
}

/// Members of each organization read in a further step: of a single one all that may still be read, since few pass the filter.
fn further_step(organizations: &[OrganizationId], step: i64, left: i64) -> i64 {
    if organizations.len() == 1 { left } else { step.saturating_mul(2) }
}

/// Restricts members to those with a fragment in their name or e-mail.
macro_rules! with_fragment {
    ($query:expr, $filter:expr) => {
        match &$filter.fragment {
            Some(fragment) => $query.filter(compared(memberships::user_search.like(fragment.pattern()).escape('\\'))),
            None => $query,
        }
    };
}

/// Members in order of id.
struct Members {
    ids: Vec<UserId>,
    /// Up to where these are all; `None` if to the end.
    end: Option<UserId>,
    /// Members that were read.
    looked: i64,
}

impl UserRepository<'_> {
    /// A page of the members of organizations without duplicates, plus the user `including`. The members of each are read in order and merged,
    /// and of each no more are read than may be on the page. Takes no reach: the organizations come from it.
    pub(super) async fn list_members(
        &mut self,
        organizations: &[OrganizationId],
        including: Option<UserId>,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let including = self.itself(including, filter).await?;
        let mut span = Span::of(page);
        let mut step = first_step(organizations, page);
        if filter.fragment.is_some() {
            // Few of those that are read may be found.
            step = page.look() / i64::try_from(organizations.len().max(1)).unwrap_or(i64::MAX) + 1;
        }
        let mut rows: Vec<UserRow> = Vec::new();
        let (mut left, mut left_of_users, mut parts) = (page.look(), page.look_up(), page.parts());
        loop {
            let Members { mut ids, end, looked } = self.members(organizations, filter, span, page, step).await?;
            let covered = end.map_or(span, |end| span.until(end.0, page.order));
            ids.extend(including.filter(|user| covered.contains(user.0)));
            ids.sort_unstable();
            ids.dedup();
            if page.order == Order::NewestFirst {
                ids.reverse();
            }
            self.add(&mut rows, &ids, filter, page, &mut parts).await?;
            left = left.saturating_sub(looked);
            left_of_users = left_of_users.saturating_sub(i64::try_from(ids.len()).unwrap_or(i64::MAX));
            match end {
                Some(end) if rows.len() <= page.size && left > 0 && left_of_users > 0 => {
                    span = span.beyond(end.0, page.order);
                }
                end => return Ok(page.page_looked_at(rows, end.map(Cursor::by_id), row_id)),
            }
            step = further_step(organizations, step, left_of_users);
        }
    }

    /// The user itself, unless a fragment leaves it out.
    async fn itself(&mut self, user: Option<UserId>, filter: &UserFilter) -> Result<Option<UserId>> {
        let (Some(id), Some(fragment)) = (user, &filter.fragment) else { return Ok(user) };
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(id)).select(UserRow::as_select());
            async move { query.get_result(c).await.optional() }
        })?;
        Ok(row.map(User::from).filter(|user| fragment.is_in(&user.searched())).map(|user| user.id))
    }

    /// The members of organizations within a span, up to a position; `None` if these are all. The position is the nearest of those `step`
    /// members ahead in each organization, so no member before it is missed.
    async fn members(
        &mut self,
        organizations: &[OrganizationId],
        filter: &UserFilter,
        span: Span,
        page: &PageRequest,
        step: i64,
    ) -> Result<Members> {
        let order = page.order;
        if let [organization] = organizations {
            return self.members_of(*organization, filter, span, page, step).await;
        }
        let ends: Vec<Option<UserId>> = query!(self.conn, c => {
            let id = VISIBLE.field(memberships::user_id);
            let further = VISIBLE
                .filter(VISIBLE.field(memberships::organization_id).eq(organizations::id))
                .filter(id.gt(UserId(span.after)))
                .filter(id.le(UserId(span.up_to)))
                .select(id);
            let own = organizations::table.filter(organizations::id.eq_any(organizations)).into_boxed::<Backend>();
            match order {
                Order::OldestFirst => own.select(further.order(id).offset(step).single_value()).load(c),
                Order::NewestFirst => own.select(further.order(id.desc()).offset(step).single_value()).load(c),
            }
        })?;
        let ends = ends.into_iter().flatten();
        let end = match order {
            Order::OldestFirst => ends.min(),
            Order::NewestFirst => ends.max(),
        };
        let span = end.map_or(span, |end| span.until(end.0, order));
        let ids: Vec<UserId> = query!(self.conn, c => {
            let query = memberships::table.select(memberships::user_id).into_boxed::<Backend>();
            let query = query
                .filter(memberships::organization_id.eq_any(organizations))
                .filter(memberships::user_id.gt(UserId(span.after)))
                .filter(memberships::user_id.le(UserId(span.up_to)));
            with_fragment!(query, filter).load(c)
        })?;
        let each = i64::try_from(organizations.len()).unwrap_or(i64::MAX);
        Ok(Members { ids, end, looked: each.saturating_mul(step) })
    }

    /// As [`Self::members`], of a single organization.
    async fn members_of(
        &mut self,
        organization: OrganizationId,
        filter: &UserFilter,
        span: Span,
        page: &PageRequest,
        step: i64,
    ) -> Result<Members> {
        macro_rules! own {
            ($span:expr) => {{
                let query = memberships::table.select(memberships::user_id).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq(organization));
                spanned!(query, memberships::user_id, UserId, $span, page.order)
            }};
        }
        if filter.fragment.is_none() {
            let ids: Vec<UserId> = query!(self.conn, c => own!(span).limit(step).load(c))?;
            let (end, looked) = (end_of(&ids, step), i64::try_from(ids.len()).unwrap_or(i64::MAX));
            return Ok(Members { ids, end, looked });
        }
        let searched_to: Option<UserId> = query!(self.conn, c => {
            let last = own!(span).limit(1).offset(step - 1);
            async { last.get_result(c).await.optional() }
        })?;
        let span = searched_to.map_or(span, |end| span.until(end.0, page.order));
        let most = page.look_up();
        let ids: Vec<UserId> = query!(self.conn, c => with_fragment!(own!(span), filter).limit(most).load(c))?;
        Ok(Members { end: end_of(&ids, most).or(searched_to), ids, looked: step })
    }

    /// Like [`Self::list_members`], for members whose e-mail has this prefix, in order of e-mail and id.
    /// Takes no reach: the organizations come from it.
    pub(super) async fn list_members_by_email(
        &mut self,
        organizations: &[OrganizationId],
        including: Option<UserId>,
        prefix: &str,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let mut itself: Option<EmailPlace> = None;
        if let Some(user) = including {
            itself = query!(self.conn, c => {
                let query = users::table.filter(users::id.eq(user)).select((users::email_normalized, users::id));
                async move { query.get_result(c).await.optional() }
            })?;
        }
        let itself = itself.filter(|(email, _)| email.starts_with(prefix));
        let mut after: EmailPlace = page.begin(prefix);
        let mut step = first_step(organizations, page);
        let (mut rows, mut left, mut parts): (Vec<UserRow>, i64, _) = (Vec::new(), page.look_up(), page.parts());
        loop {
            let (mut found, end) = self.members_by_email(organizations, prefix, &after, step).await?;
            left = left.saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
            let is_within = |place: &EmailPlace| *place > after && end.as_ref().is_none_or(|end| place <= end);
            found.extend(itself.clone().filter(is_within));
            found.sort_unstable();
            found.dedup();
            let ids: Vec<UserId> = found.into_iter().map(|(_, id)| id).collect();
            self.add(&mut rows, &ids, filter, page, &mut parts).await?;
            match end {
                Some(end) if rows.len() <= page.size && left > 0 => after = end,
                end => return Ok(page.page_looked_at(rows, end.map(Cursor::by_text), row_email)),
            }
            step = further_step(organizations, step, left);
        }
    }

    /// Members of organizations whose e-mail has this prefix, after one position and up to another; `None` if these are all.
    async fn members_by_email(
        &mut self,
        organizations: &[OrganizationId],
        prefix: &str,
        after: &EmailPlace,
        step: i64,
    ) -> Result<(Vec<EmailPlace>, Option<EmailPlace>)> {
        let (email, id) = (memberships::user_email, memberships::user_id);
        if let [organization] = organizations {
            let found: Vec<EmailPlace> = query!(self.conn, c => {
                let query = memberships::table.select((email, id)).into_boxed::<Backend>();
                let query = query.filter(memberships::organization_id.eq(organization));
                let query = between!(query, prefix, after, &None::<EmailPlace>, email, id);
                query.order((email, id)).limit(step).load(c)
            })?;
            let end = end_of(&found, step);
            return Ok((found, end));
        }
        let ends: Vec<Option<String>> = query!(self.conn, c => {
            let (text, id) = (VISIBLE.field(memberships::user_email), VISIBLE.field(memberships::user_id));
            let further = VISIBLE
                .filter(VISIBLE.field(memberships::organization_id).eq(organizations::id))
                .filter(text.ge(after.0.clone()))
                .filter(compared(text.gt(after.0.clone()).or(id.gt(after.1))))
                .filter(text.lt(prefix_end(prefix)))
                .select(text)
                .order((text, id))
                .offset(step);
            let own = organizations::table.filter(organizations::id.eq_any(organizations));
            own.select(further.single_value()).load(c)
        })?;
        // After every user with that e-mail: a deleted one may share it.
        let end = ends.into_iter().flatten().min().map(|text| (text, LAST_ID));
        let found = query!(self.conn, c => {
            let query = memberships::table.select((email, id)).into_boxed::<Backend>();
            let query = query.filter(memberships::organization_id.eq_any(organizations));
            between!(query, prefix, after, &end, email, id).load(c)
        })?;
        Ok((found, end))
    }

    /// Appends those of the given users that pass the filter, in order, until the page is full.
    async fn add(
        &mut self,
        rows: &mut Vec<UserRow>,
        ids: &[UserId],
        filter: &UserFilter,
        page: &PageRequest,
        parts: &mut Parts,
    ) -> Result<()> {
        let mut rest = ids;
        while let Some(ids) = parts.next(&mut rest, rows.len()) {
            rows.extend(self.passing(ids, filter, page).await?);
        }
        Ok(())
    }

    /// Those of the given users that pass the filter, in order. Takes no reach: the caller has found them within one.
    pub(super) async fn passing(
        &mut self,
        ids: &[UserId],
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Vec<UserRow>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select());
            compared_with!(query.into_boxed::<Backend>(), filter, page).load(c)
        })?;
        Ok(in_order_of(ids, rows, |row| row.id))
    }
}
