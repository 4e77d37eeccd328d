//! How events are stored, and in which order they are returned.

mod list;

use std::time::Duration;

use diesel::{dsl::max, prelude::*};
use diesel_async::RunQueryDsl;

use super::row;
use crate::{
    db::{
        Conn, execute, query,
        schema::{event_floor, events},
    },
    error::{Error, Result},
    models::{
        Action, ActorKind, ApiKeyId, Event, EventFilter, EventId, OrganizationId, Reach, ResourceId, ResourceType,
        Revision, Sequence, Timestamp, UserId,
        event::{Details, Subject},
    },
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
    /// On PostgreSQL an event has its number before it is seen: one with a smaller number may be committed later. A reader that has
    /// taken a number holds the table's writers' lock from before until after its commit. So once those who hold it now are
    /// gone, all numbers up to the last one that was seen before are either seen or will never be.
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
    pub async fn last_if_whole(&mut self, settled: Sequence) -> Result<Option<Sequence>> {
        let (_, last) = self.ends().await?;
        let seen: i64 =
            query!(self.conn, c => events::table.filter(events::sequence.gt(settled)).count().get_result(c))?;
        Ok((last <= settled || last - settled == seen).then_some(last))
    }

    /// Removes up to `limit` of the oldest events if they are from before, and tells how many. It takes no reach: it concerns
    /// everybody.
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

impl From<PlacedRow> for Placed {
    fn from(PlacedRow((sequence, row)): PlacedRow) -> Self {
        (sequence, row.into())
    }
}
