//! How events are stored, and in which order they are told.

use std::{cmp::Reverse, time::Duration};

use diesel::{dsl::max, prelude::*};
use diesel_async::RunQueryDsl;

use super::{compared, reach::within, row};
use crate::{
    db::{
        Conn, execute, query,
        schema::{event_floor, events},
    },
    error::{Error, Result},
    models::{
        Action, ActorKind, ApiKeyId, Cursor, Event, EventFilter, EventId, OrganizationId, Page, PageRequest, Reach,
        ResourceId, ResourceType, Revision, Sequence, Timestamp, UserId,
        event::{Details, Subject},
    },
    security::random::first_uuid_at,
};

row!(events: EventRow of Event {
    id: EventId,
    created_at: Timestamp,
    action: Action,
    actor_kind: ActorKind,
    actor_user_id: Option<UserId>,
    actor_organization_id: Option<OrganizationId>,
    actor_api_key_id: Option<ApiKeyId>,
    organization_id: Option<OrganizationId>,
    user_id: Option<UserId>,
    resource_type: Option<ResourceType>,
    resource_id: Option<ResourceId>,
    revision: Revision,
    details: Details,
});

/// An event with its place in the order.
pub(super) type Placed = (Sequence, Event);

/// How long it takes for a writer that is waited for to be looked at again.
const WRITER_POLL: Duration = Duration::from_millis(2);

/// Stores events.
pub struct EventRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// What finds the events of a list in their order, by one index. What belongs to one tenant or to one of its resources goes before
/// what may be of many.
#[derive(Clone, Copy)]
enum Driver {
    Everything,
    Resource(ResourceId),
    User(UserId),
    Organization(OrganizationId),
    ActorApiKey(ApiKeyId),
    ActorUser(UserId),
}

impl Driver {
    /// `None` for a list by actions alone, which several ranges of one index find.
    fn of(filter: &EventFilter) -> Option<Self> {
        Some(match (filter.resource_id, filter.user_id, filter.organization_id) {
            (Some(id), ..) => Self::Resource(id),
            (None, Some(id), _) => Self::User(id),
            (None, None, Some(id)) => Self::Organization(id),
            (None, None, None) => match (filter.actor_api_key_id, filter.actor_user_id, &filter.actions) {
                (Some(id), ..) => Self::ActorApiKey(id),
                (None, Some(id), _) => Self::ActorUser(id),
                (None, None, Some(_)) => return None,
                (None, None, None) => Self::Everything,
            },
        })
    }

    /// True if a filter asks for more than what finds its events.
    fn leaves_some_of(self, filter: &EventFilter) -> bool {
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
}

/// The times and the page of a list, in its order, up to a place if one is given. There is one bound at each end: of two, SQLite searches
/// by the first and walks to the other.
macro_rules! in_time {
    ($query:expr, $filter:expr, $page:expr, $looked_to:expr) => {{
        let mut query = $query;
        let from = $filter.created_from.map(|from| EventId(first_uuid_at(from)));
        if let Some(from) = from.max($looked_to) {
            query = query.filter(events::id.ge(from));
        }
        let before = $filter.created_before.map(|before| EventId(first_uuid_at(before)));
        let before = before.into_iter().chain($page.after.as_ref().map(|cursor| EventId(cursor.id))).min();
        if let Some(before) = before {
            query = query.filter(events::id.lt(before));
        }
        query.order(events::id.desc())
    }};
}

/// What the index of a driver finds, in the order of a list.
macro_rules! searched {
    ($query:expr, $driver:expr, $filter:expr, $page:expr, $looked_to:expr) => {{
        let query = match $driver {
            Driver::Everything => $query,
            Driver::Resource(id) => $query.filter(events::resource_id.eq(id)),
            Driver::User(id) => $query.filter(events::user_id.eq(id)),
            Driver::Organization(id) => $query.filter(events::organization_id.eq(id)),
            Driver::ActorApiKey(id) => $query.filter(events::actor_api_key_id.eq(id)),
            Driver::ActorUser(id) => $query.filter(events::actor_user_id.eq(id)),
        };
        in_time!(query, $filter, $page, $looked_to)
    }};
}

impl EventRepository<'_> {
    /// Stores events, in the order in which they are given. It is the last thing that a transaction does, so that other
    /// transactions wait for its place in the order no longer than its commit takes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if an event cannot be written; what it tells of is then not done.
    pub async fn insert(&mut self, events: &[Event]) -> Result<()> {
        for event in events {
            let insert = diesel::insert_into(events::table).values(EventRow::from(event));
            execute!(
                self.conn,
                insert,
                or | error
                    | match error {
                        Error::Internal(source) => Error::Unavailable(source),
                        error => error,
                    }
            )?;
        }
        Ok(())
    }

    /// A page of events, the newest first, in order of id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn list(&mut self, reach: &Reach, filter: &EventFilter, page: &PageRequest) -> Result<Page<Placed>> {
        // What a user sees without naming an organization is about itself: one index finds it.
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
            Reach::Everything | Reach::User(_) => filter.organization_id,
        };
        let filter = EventFilter { organization_id, user_id, ..filter.clone() };
        // An index holds the events of one action in order; what is asked for is the head of several such.
        let Some(driver) = Driver::of(&filter) else {
            let actions = filter.actions.as_deref().unwrap_or_default();
            let rows = self.heads(reach, &filter, actions, page).await?;
            return Ok(page.page(rows.into_iter().map(PlacedRow).collect(), PlacedRow::cursor));
        };
        let mut looked_to = None;
        if driver.leaves_some_of(&filter) {
            looked_to = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                let last = searched!(query, driver, &filter, page, None::<EventId>).limit(1).offset(page.look() - 1);
                async { last.get_result(c).await.optional() }
            })?;
        }
        let rows = self.looked_at(reach, &filter, driver, looked_to, page).await?;
        let looked_to = looked_to.map(|id: EventId| Cursor { text: None, id: id.0 });
        let rows = rows.into_iter().map(PlacedRow).collect();
        Ok(page.page_looked_at(rows, looked_to, PlacedRow::cursor))
    }

    /// The newest events that pass a filter, of those up to a place that its index finds.
    async fn looked_at(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        driver: Driver,
        looked_to: Option<EventId>,
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            let mut query = searched!(query, driver, filter, page, looked_to);
            if let Some(actions) = &filter.actions {
                query = query.filter(compared(events::action.eq_any(actions)));
            }
            // What the driver is found by is compared once more, which costs nothing.
            if let Some(id) = filter.organization_id {
                query = query.filter(compared(events::organization_id.eq(id)));
            }
            if let Some(id) = filter.user_id {
                query = query.filter(compared(events::user_id.eq(id)));
            }
            if let Some(id) = filter.actor_user_id {
                query = query.filter(compared(events::actor_user_id.eq(id)));
            }
            if let Some(id) = filter.actor_api_key_id {
                query = query.filter(compared(events::actor_api_key_id.eq(id)));
            }
            query = match *reach {
                Reach::Everything => query,
                Reach::Organization(organization) => {
                    query.filter(compared(events::organization_id.eq(organization)))
                }
                Reach::User(user) => query.filter(compared(events::user_id.eq(user))),
            };
            if *reach != Reach::Everything && (filter.actor_user_id.is_some() || filter.actor_api_key_id.is_some()) {
                // Who of the platform acted is not shown, so it cannot be asked for either.
                query = query.filter(events::actor_kind.eq_any([ActorKind::User, ActorKind::Organization]));
            }
            query.limit(page.limit()).load(c)
        })
    }

    /// The newest events of some actions, as many as a page asks for. Only a reach of everything lists by action alone.
    async fn heads(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        actions: &[Action],
        page: &PageRequest,
    ) -> Result<Vec<(Sequence, EventRow)>> {
        let mut ids: Vec<EventId> = Vec::new();
        for action in actions {
            let more: Vec<EventId> = query!(self.conn, c => {
                let query = events::table.select(events::id).into_boxed::<Backend>();
                in_time!(query.filter(events::action.eq(*action)), filter, page, None::<EventId>).limit(page.limit()).load(c)
            })?;
            ids.extend(more);
        }
        ids.sort_unstable_by_key(|id| Reverse(*id));
        ids.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
        let mut rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            within!(events, query.filter(events::id.eq_any(&ids)), reach).load(c)
        })?;
        rows.sort_unstable_by_key(|(_, row)| Reverse(row.id));
        Ok(rows)
    }

    /// Up to `limit` events after one place and up to another, in their order.
    ///
    /// # Errors
    /// [`Error::EventCursorExpired`] if some after the first place are removed.
    pub async fn between(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        (after, up_to): (Sequence, Sequence),
        limit: i64,
    ) -> Result<Vec<Placed>> {
        let organization_id = match *reach {
            Reach::Organization(id) => Some(id),
            Reach::Everything | Reach::User(_) => filter.organization_id,
        };
        let rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let mut query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            query = query.filter(events::sequence.gt(after)).filter(events::sequence.le(up_to));
            // The reach, and the filter within it. Compared with true, so that no other index can be taken than that of the range, which is short: that of a large
            // tenant would be sorted as a whole for each look.
            if let Some(id) = organization_id {
                query = query.filter(events::organization_id.eq(id).eq(true));
            }
            if let (Reach::User(id), None) = (*reach, organization_id) {
                query = query.filter(events::user_id.eq(id).eq(true));
            }
            if let Some(actions) = &filter.actions {
                query = query.filter(events::action.eq_any(actions).eq(true));
            }
            query.order(events::sequence).limit(limit).load(c)
        })?;
        // After the look: whatever was removed before it has moved the floor.
        if after < self.floor().await? {
            return Err(Error::EventCursorExpired);
        }
        Ok(rows.into_iter().map(|row| PlacedRow(row).into()).collect())
    }

    /// Up to `limit` events of some actions after a place: what happened, and to what. They take no reach: the service itself
    /// asks, for nobody.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn happened(
        &mut self,
        actions: &[Action],
        after: Sequence,
        limit: i64,
    ) -> Result<Vec<(Sequence, Action, Subject)>> {
        type Happened = (
            Sequence,
            Action,
            Option<OrganizationId>,
            Option<UserId>,
            Option<ResourceType>,
            Option<ResourceId>,
            Revision,
        );
        let rows: Vec<Happened> = query!(self.conn, c => {
            events::table
                .select((
                    events::sequence,
                    events::action,
                    events::organization_id,
                    events::user_id,
                    events::resource_type,
                    events::resource_id,
                    events::revision,
                ))
                .filter(events::sequence.gt(after))
                // Compared with true, so that the range is what is looked for.
                .filter(events::action.eq_any(actions).eq(true))
                .order(events::sequence)
                .limit(limit)
                .load(c)
        })?;
        let happened = |(sequence, action, organization_id, user_id, kind, id, revision): Happened| {
            (sequence, action, Subject { organization_id, user_id, resource: kind.zip(id), revision })
        };
        Ok(rows.into_iter().map(happened).collect())
    }

    /// The place up to which old events are removed, and that of the last event, which is the first again where all are. They
    /// take no reach: what they tell is the order.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn ends(&mut self) -> Result<(Sequence, Sequence)> {
        let floor = self.floor().await?;
        let last: Option<Sequence> = query!(self.conn, c => events::table.select(max(events::sequence)).get_result(c))?;
        Ok((floor, last.unwrap_or(floor).max(floor)))
    }

    async fn floor(&mut self) -> Result<Sequence> {
        query!(self.conn, c => event_floor::table.select(event_floor::sequence).get_result(c))
    }

    /// The place of the last event of which it is settled that no event will ever appear before it.
    ///
    /// On PostgreSQL an event has its number before it is seen: one with a smaller number may be committed later. Whoever has
    /// taken a number holds the table's writers' lock from before until after its commit. So once those who hold it now are
    /// gone, all numbers up to the last one that was seen before are either seen or will never be.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn settled(&mut self) -> Result<Sequence> {
        let (_, last) = self.ends().await?;
        let mut writers = self.conn.event_writers().await?;
        while !writers.is_empty() {
            tokio::time::sleep(WRITER_POLL).await;
            let still = self.conn.event_writers().await?;
            writers.retain(|writer| still.contains(writer));
        }
        Ok(last)
    }

    /// The last place that this connection's snapshot shows, if the snapshot shows every event up to it: none between `settled`
    /// and it is on its way.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn last_if_whole(&mut self, settled: Sequence) -> Result<Option<Sequence>> {
        let (_, last) = self.ends().await?;
        let seen: i64 =
            query!(self.conn, c => events::table.filter(events::sequence.gt(settled)).count().get_result(c))?;
        Ok((last <= settled || last - settled == seen).then_some(last))
    }

    /// Removes up to `limit` of the oldest events if they are from before, and tells how many. It takes no reach: it concerns
    /// everybody.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete_before(&mut self, before: Timestamp, limit: i64) -> Result<usize> {
        let oldest: Vec<(Sequence, Timestamp)> = query!(self.conn, c => {
            let oldest = events::table.select((events::sequence, events::created_at));
            oldest.order(events::sequence).limit(limit).load(c)
        })?;
        let Some((floor, _)) = oldest.into_iter().take_while(|(_, created_at)| *created_at < before).last() else {
            return Ok(0);
        };
        query!(self.conn, c => {
            let lower = event_floor::table.filter(event_floor::sequence.lt(floor));
            diesel::update(lower).set(event_floor::sequence.eq(floor)).execute(c)
        })?;
        query!(self.conn, c => diesel::delete(events::table.filter(events::sequence.le(floor))).execute(c))
    }
}

/// A row with its place.
struct PlacedRow((Sequence, EventRow));

impl PlacedRow {
    fn cursor(&self) -> Cursor {
        Cursor { text: None, id: self.0.1.id.0 }
    }
}

impl From<PlacedRow> for Placed {
    fn from(PlacedRow((sequence, row)): PlacedRow) -> Self {
        (sequence, row.into())
    }
}
