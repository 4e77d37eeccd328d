//! Storage of events, and their order.

mod list;
mod person;

use std::time::Duration;

use diesel::{IntoSql as _, dsl::max, prelude::*};
use diesel_async::RunQueryDsl;

use super::row;
use crate::{
    db::{
        Conn, KeepingSelected, execute, query,
        schema::{event_floor, events, member_events, memberships},
        types::Id,
    },
    error::{Error, Result},
    models::{
        Action, ActorKind, ApiKeyId, Event, EventFilter, EventId, OrganizationId, PersonId, Reach, ResourceId,
        ResourceType, Revision, Sequence, Timestamp, UserId,
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
    address: Option<PersonId>,
    details: Details,
});

/// An event with its position in the order.
pub(super) type Placed = (Sequence, Event);

/// Interval at which the writers waited for are polled.
const WRITER_POLL: Duration = Duration::from_millis(2);

/// True for an event that an organization sees: its own, or of a user who was a member when it happened. Compared row by row. A single
/// value, because PostgreSQL would otherwise collect all events that the organization has ever seen.
macro_rules! seen_by {
    ($organization:expr) => {
        $crate::repositories::compared(
            events::organization_id.eq($organization).or($crate::repositories::compared(
                member_events::table
                    .filter(member_events::organization_id.eq($organization))
                    .filter(member_events::event_id.eq(events::id))
                    .select(member_events::event_id)
                    .single_value()
                    .is_not_null(),
            )),
        )
    };
}

use seen_by;

/// Repository of events.
pub struct EventRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl EventRepository<'_> {
    /// Stores events in the given order. It is the last write of a transaction, so that other transactions wait for its position in the
    /// order only as long as its commit takes. Takes no reach: the rows are new.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if an event cannot be written; the change it describes is then not committed.
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

    /// Shows an event of a user, not yet stored, to the organizations that the user is a member of. None of these memberships can end
    /// before the transaction does, so that an organization sees no event of a user after the end of the membership. Takes no reach: the
    /// memberships decide.
    pub async fn show_to_organizations_of(&mut self, user: UserId, event: EventId) -> Result<()> {
        query!(self.conn, c => {
            let seen = memberships::table
                .filter(memberships::user_id.eq(user))
                .select((memberships::organization_id, event.into_sql::<Id>()))
                .insert_into(member_events::table)
                .into_columns((member_events::organization_id, member_events::event_id));
            KeepingSelected(seen).execute(c)
        })?;
        Ok(())
    }

    /// Up to `limit` events after one position and up to another, in order.
    ///
    /// # Errors
    /// [`Error::EventCursorExpired`] if events after the first position have been deleted.
    pub async fn between(
        &mut self,
        reach: &Reach,
        filter: &EventFilter,
        (after, up_to): (Sequence, Sequence),
        limit: i64,
    ) -> Result<Vec<Placed>> {
        let organization_id = match *reach {
            Reach::Organization(id) => Some(id),
            Reach::Everything(_) | Reach::User(_) => filter.organization_id,
        };
        let rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let mut query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
            query = query.filter(events::sequence.gt(after)).filter(events::sequence.le(up_to));
            // The reach, and the filter within it. `IS TRUE` and `= true` keep the planner from any index but the one on the short range: otherwise all
            // events of a large tenant would be sorted on every poll.
            if let Some(id) = organization_id {
                query = query.filter(seen_by!(id));
            }
            if let (Reach::User(id), None) = (*reach, organization_id) {
                query = query.filter(events::user_id.eq(id).eq(true));
            }
            if let Some(actions) = &filter.actions {
                query = query.filter(events::action.eq_any(actions).eq(true));
            }
            query.order(events::sequence).limit(limit).load(c)
        })?;
        // Read after the events: a deletion before that query has already moved the floor.
        if after < self.floor().await? {
            return Err(Error::EventCursorExpired);
        }
        Ok(rows.into_iter().map(|row| PlacedRow(row).into()).collect())
    }

    /// Up to `limit` events of some actions after a position: action and subject. Takes no reach: only the service itself calls it.
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
                // `= true`, so that the index on the range is used.
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

    /// The position up to which old events are deleted, and that of the last event; both are equal if all events are deleted. Takes no
    /// reach: it reveals only the order.
    pub async fn ends(&mut self) -> Result<(Sequence, Sequence)> {
        let floor = self.floor().await?;
        let last: Option<Sequence> = query!(self.conn, c => events::table.select(max(events::sequence)).get_result(c))?;
        Ok((floor, last.unwrap_or(floor).max(floor)))
    }

    /// The position of the last event before a time; without one, that of the last deleted event. Takes no reach: it reveals only the
    /// order.
    ///
    /// # Errors
    /// [`Error::EventCursorExpired`] if events after the time have been deleted.
    pub async fn last_before(&mut self, time: Timestamp) -> Result<Sequence> {
        let place: Option<Sequence> = query!(self.conn, c => {
            let earlier = events::table.filter(events::id.lt(EventId(first_uuid_at(time))));
            let last = earlier.order(events::id.desc()).select(events::sequence).limit(1);
            async move { last.get_result(c).await.optional() }
        })?;
        match (place, self.floor().await?) {
            (Some(place), floor) => Ok(place.max(floor)),
            // Events have been deleted, and perhaps some of the asked ones.
            (None, 1..) => Err(Error::EventCursorExpired),
            (None, floor) => Ok(floor),
        }
    }

    async fn floor(&mut self) -> Result<Sequence> {
        query!(self.conn, c => event_floor::table.select(event_floor::sequence).get_result(c))
    }

    /// The position of the last event before which no event can appear any more. Takes no reach: it reveals only the order.
    ///
    /// On PostgreSQL an event gets its number before it becomes visible, so one with a smaller number may commit later. A transaction that
    /// has taken a number holds a row-exclusive lock on the table from before that until after its commit. So once all current holders of
    /// the lock are gone, every number up to the last one seen before is either visible or will never be.
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

    /// The last position in this connection's snapshot, if the snapshot contains every event up to it: no event between `settled` and that
    /// position is still uncommitted. Takes no reach: it reveals only the order.
    pub async fn last_if_whole(&mut self, settled: Sequence) -> Result<Option<Sequence>> {
        let (_, last) = self.ends().await?;
        let seen: i64 =
            query!(self.conn, c => events::table.filter(events::sequence.gt(settled)).count().get_result(c))?;
        Ok((last <= settled || last - settled == seen).then_some(last))
    }

    /// Deletes up to `limit` of the oldest events, if they are older than `before`, and returns how many. Takes no reach: retention applies
    /// to all tenants.
    pub async fn delete_before(&mut self, before: Timestamp, limit: i64) -> Result<usize> {
        let mut oldest: Vec<(Sequence, EventId, Timestamp)> = query!(self.conn, c => {
            let oldest = events::table.select((events::sequence, events::id, events::created_at));
            oldest.order(events::sequence).limit(limit).load(c)
        })?;
        let young = oldest.iter().position(|(.., created_at)| *created_at >= before);
        oldest.truncate(young.unwrap_or(oldest.len()));
        let Some(floor) = oldest.last().map(|(floor, ..)| *floor) else { return Ok(0) };
        let ids: Vec<EventId> = oldest.into_iter().map(|(_, id, _)| id).collect();
        query!(self.conn, c => {
            diesel::delete(member_events::table.filter(member_events::event_id.eq_any(&ids))).execute(c)
        })?;
        query!(self.conn, c => {
            let lower = event_floor::table.filter(event_floor::sequence.lt(floor));
            diesel::update(lower).set(event_floor::sequence.eq(floor)).execute(c)
        })?;
        query!(self.conn, c => diesel::delete(events::table.filter(events::sequence.le(floor))).execute(c))
    }
}

/// A row with its position.
struct PlacedRow((Sequence, EventRow));

impl From<PlacedRow> for Placed {
    fn from(PlacedRow((sequence, row)): PlacedRow) -> Self {
        (sequence, row.into())
    }
}
