//! Lists of events. Each is driven by one index; conditions that the index does not serve are compared row by row, up to a number of rows.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    super::{Span, compared, reach::within, spanned},
    EventRepository, EventRow, Placed, PlacedRow, seen_by,
};
use crate::{
    db::{
        FirstEvents, query,
        schema::{events, member_events},
    },
    error::Result,
    models::{
        Action, ActorKind, ApiKeyId, Cursor, EventFilter, EventId, Order, OrganizationId, Page, PageRequest, Reach,
        ResourceId, Sequence, UserId,
    },
};

/// What finds a list's events in order: one index or, for an organization and for actions, the merge of several of its ranges. Indexes of
/// one tenant or one of its resources come before those that may span tenants.
#[derive(Clone, Copy)]
enum Driver {
    Index(Index),
    /// The organization's own events and those of its members.
    Organization(OrganizationId),
    /// The events of each action.
    Actions,
}

/// An index that finds events in order.
#[derive(Clone, Copy)]
enum Index {
    Everything,
    Resource(ResourceId),
    User(UserId),
    ActorApiKey(ApiKeyId),
    ActorUser(UserId),
}

impl Driver {
    /// A tenant's list is driven by what the tenant sees: the number of pages would otherwise tell how many events there are that it does
    /// not see.
    fn of(filter: &EventFilter, reach: &Reach) -> Self {
        match (filter.organization_id, *reach) {
            (_, Reach::Everything(_)) => {}
            (Some(organization), _) | (None, Reach::Organization(organization)) => {
                return Self::Organization(organization);
            }
            (None, Reach::User(own)) => return Self::Index(Index::User(own)),
        }
        Self::Index(match (filter.resource_id, filter.user_id, filter.organization_id) {
            (Some(id), ..) => Index::Resource(id),
            (None, Some(id), _) => Index::User(id),
            (None, None, Some(id)) => return Self::Organization(id),
            (None, None, None) => match (filter.actor_api_key_id, filter.actor_user_id, &filter.actions) {
                (Some(id), ..) => Index::ActorApiKey(id),
                (None, Some(id), _) => Index::ActorUser(id),
                (None, None, Some(_)) => return Self::Actions,
                (None, None, None) => Index::Everything,
            },
        })
    }
}

/// True if a filter has conditions beyond what one index serves.
fn asks_for_several(filter: &EventFilter) -> bool {
    let asked = [
        filter.resource_id.is_some(),
        filter.user_id.is_some(),
        filter.organization_id.is_some(),
        filter.actor_api_key_id.is_some(),
        filter.actor_user_id.is_some(),
        filter.actions.is_some(),
    ];
    asked.into_iter().filter(|asked| *asked).count() > 1
}

/// Restricts a query to what an index finds, in the order of the list.
macro_rules! searched {
    ($query:expr, $index:expr, $span:expr, $page:expr) => {{
        let query = match $index {
            Index::Everything => $query,
            Index::Resource(id) => $query.filter(events::resource_id.eq(id)),
            Index::User(id) => $query.filter(events::user_id.eq(id)),
            Index::ActorApiKey(id) => $query.filter(events::actor_api_key_id.eq(id)),
            Index::ActorUser(id) => $query.filter(events::actor_user_id.eq(id)),
        };
        spanned!(query, events::id, EventId, $span, $page.order)
    }};
}

/// Compares rows with all conditions of a filter but those on organization and time, and with what the reader sees of actors.
macro_rules! matching {
    ($query:expr, $reach:expr, $filter:expr) => {{
        let mut query = $query;
        if let Some(actions) = &$filter.actions {
            query = query.filter(compared(events::action.eq_any(actions)));
        }
        if let Some(id) = $filter.resource_id {
            query = query.filter(compared(events::resource_id.eq(id)));
        }
        if let Some(id) = $filter.user_id {
            query = query.filter(compared(events::user_id.eq(id)));
        }
        if let Some(id) = $filter.actor_user_id {
            query = query.filter(compared(events::actor_user_id.eq(id)));
        }
        if let Some(id) = $filter.actor_api_key_id {
            query = query.filter(compared(events::actor_api_key_id.eq(id)));
            if let Reach::Organization(own) = *$reach {
                // An organization does not see with which key its members changed themselves.
                query = query.filter(compared(events::organization_id.eq(own)));
            }
        }
        if !$reach.is_everything() && ($filter.actor_user_id.is_some() || $filter.actor_api_key_id.is_some()) {
            // Actors of the platform are not shown, so they cannot be filtered by either.
            query = query.filter(events::actor_kind.eq_any([ActorKind::User, ActorKind::Organization]));
        }
        query
    }};
}

impl EventRepository<'_> {
    /// A page of events, in order of id.
    pub async fn list(&mut self, reach: &Reach, filter: &EventFilter, page: &PageRequest) -> Result<Page<Placed>> {
        // Without an organization, a user sees only events about itself, which one index finds.
        let own = match *reach {
            Reach::User(id) if filter.organization_id.is_none() => Some(id),
            _ => None,
        };
        if filter.user_id.zip(own).is_some_and(|(asked, own)| asked != own) {
            return Ok(page.page(Vec::<PlacedRow>::new(), PlacedRow::cursor));
        }
        let user_id = filter.user_id.or(own);
        let organization_id = match *reach {
            Reach::Organization(id) => filter.organization_id.or(Some(id)),
            Reach::Everything(_) | Reach::User(_) => filter.organization_id,
        };
        let filter = EventFilter { organization_id, user_id, ..filter.clone() };
        let index = match Driver::of(&filter, reach) {
            Driver::Index(index) => index,
            Driver::Organization(id) => return self.list_of_organization(id, reach, &filter, page).await,
            Driver::Actions => {
                let actions = filter.actions.as_deref().unwrap_or_default();
                let rows = self.heads(reach, actions, page).await?;
                return Ok(page.page(rows.into_iter().map(PlacedRow).collect(), PlacedRow::cursor));
            }
        };
        let span = Span::of(page);
        let mut searched_to: Option<EventId> = None;
        if asks_for_several(&filter) {
            searched_to = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                let last = searched!(query, index, span, page).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let span = searched_to.map_or(span, |last| span.until(last.0, page.order));
        let rows = self.looked_at(reach, &filter, index, span, page).await?;
        let searched_to = searched_to.map(Cursor::by_id);
        let rows = rows.into_iter().map(PlacedRow).collect();
        Ok(page.page_looked_at(rows, searched_to, PlacedRow::cursor))
    }

    /// The first events of a span that pass the filter.
    async fn looked_at(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        index: Index,
        span: Span,
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            let query = searched!(query, index, span, page);
            // The index's own condition is compared once more, which costs nothing.
            let mut query = matching!(query, reach, filter);
            if let Some(id) = filter.organization_id {
                query = query.filter(seen_by!(id));
            }
            if let Reach::User(user) = *reach {
                query = query.filter(compared(events::user_id.eq(user)));
            }
            query.limit(page.limit()).load(c)
        })
    }

    /// A page of the events that an organization sees: the first of its own and of its members, merged.
    async fn list_of_organization(
        &mut self,
        organization: OrganizationId,
        reach: &Reach,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Page<Placed>> {
        let span = Span::of(page);
        let is_filtered = asks_for_several(filter);
        let limit = if is_filtered { page.look_up() } else { page.limit() };
        let mut ids: Vec<EventId> = query!(self.conn, c => {
            let own = events::table.filter(events::organization_id.eq(organization));
            let own = own.select(events::id).into_boxed::<Backend>();
            spanned!(own, events::id, EventId, span, page.order).limit(limit).load(c)
        })?;
        let of_members: Vec<EventId> = query!(self.conn, c => {
            let seen = member_events::table.filter(member_events::organization_id.eq(organization));
            let seen = seen.select(member_events::event_id).into_boxed::<Backend>();
            spanned!(seen, member_events::event_id, EventId, span, page.order).limit(limit).load(c)
        })?;
        ids.extend(of_members);
        sort(&mut ids, page.order, |id| *id);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        ids.truncate(limit);
        let searched_to = ids.last().copied().filter(|_| is_filtered && ids.len() == limit);
        let (mut rows, mut parts, mut rest): (Vec<PlacedRow>, _, _) = (Vec::new(), page.parts(), ids.as_slice());
        while let Some(ids) = parts.next(&mut rest, rows.len()) {
            let mut more: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
                let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
                matching!(query.filter(events::id.eq_any(ids)), reach, filter).load(c)
            })?;
            sort(&mut more, page.order, |(_, row)| row.id);
            rows.extend(more.into_iter().map(PlacedRow));
        }
        Ok(page.page_looked_at(rows, searched_to.map(Cursor::by_id), PlacedRow::cursor))
    }

    /// The first events of the given actions, one page. Only a reach of everything lists by action alone.
    async fn heads(
        &mut self,
        reach: &Reach,
        actions: &[Action],
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        // No action is of every kind that the filter names.
        if actions.is_empty() {
            return Ok(Vec::new());
        }
        let Span { after, up_to } = Span::of(page);
        let (after, up_to, order, limit) = (EventId(after), EventId(up_to), page.order, page.limit());
        let ids: Vec<EventId> = query!(self.conn, c => FirstEvents { actions, after, up_to, order, limit }.load(c))?;
        let mut rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            within!(events, query.filter(events::id.eq_any(&ids)), reach).load(c)
        })?;
        sort(&mut rows, page.order, |(_, row)| row.id);
        Ok(rows)
    }
}

/// Sorts events by id, in the order of a list.
fn sort<T>(events: &mut [T], order: Order, id: impl Fn(&T) -> EventId) {
    events.sort_unstable_by_key(id);
    if order == Order::NewestFirst {
        events.reverse();
    }
}

impl PlacedRow {
    fn cursor(&self) -> Cursor {
        Cursor::by_id(self.0.1.id)
    }
}
