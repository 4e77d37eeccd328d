//! The events that lead to a person, to be exported or erased. Each way is served by one index, in the order of ids.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{EventRepository, EventRow, Placed, PlacedRow};
use crate::{
    db::{ForUpdate, execute, query, schema::events},
    error::Result,
    models::{EventId, OrganizationId, PersonId, Sequence, Timestamp, Trace, UserId, event::Details},
    security::random::first_uuid_at,
};

/// The events after one that a trace leads to, in order of id.
macro_rules! traced {
    ($trace:expr, $subject:expr, $after:expr, $limit:expr) => {{
        let mut query = events::table.select((events::sequence, EventRow::as_select())).into_boxed::<Backend>();
        query = match $trace {
            Trace::About => query.filter(events::user_id.eq(UserId($subject.0))),
            Trace::By => query.filter(events::actor_user_id.eq(UserId($subject.0))),
            Trace::Address => query.filter(events::address.eq($subject)),
            Trace::Organization => query.filter(events::organization_id.eq(OrganizationId($subject.0))),
            // They lead to no events.
            Trace::Answers | Trace::Search => query.filter(events::sequence.lt(0)),
        };
        if let Some(after) = $after {
            query = query.filter(events::id.gt(after));
        }
        query.order(events::id).limit($limit)
    }};
}

impl EventRepository<'_> {
    /// Up to `limit` events after one that a trace leads to, in order of id. Takes no reach: the user is the caller's own.
    pub async fn of_person(
        &mut self,
        (trace, subject): (Trace, PersonId),
        after: Option<EventId>,
        limit: i64,
    ) -> Result<Vec<Placed>> {
        let rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => traced!(trace, subject, after, limit).load(c))?;
        Ok(rows.into_iter().map(|row| PlacedRow(row).into()).collect())
    }

    /// As [`EventRepository::of_person`], with `before` only earlier events. Locks them, because another person may be erased from the same
    /// event. Takes no reach: the person is being erased.
    pub async fn lock_of_person(
        &mut self,
        (trace, subject): (Trace, PersonId),
        after: Option<EventId>,
        before: Option<Timestamp>,
        limit: i64,
    ) -> Result<Vec<Placed>> {
        let rows: Vec<(Sequence, EventRow)> = query!(self.conn, c => {
            let mut query = traced!(trace, subject, after, limit);
            if let Some(before) = before {
                query = query.filter(events::id.lt(EventId(first_uuid_at(before))));
            }
            ForUpdate(query).load(c)
        })?;
        Ok(rows.into_iter().map(|row| PlacedRow(row).into()).collect())
    }

    /// Replaces the details of an event by what is left of them. Its position, its id and its time stay. Takes no reach: only the service
    /// itself calls it.
    pub async fn rewrite(&mut self, sequence: Sequence, details: Details, address: Option<PersonId>) -> Result<()> {
        let found = events::table.filter(events::sequence.eq(sequence));
        execute!(self.conn, diesel::update(found).set((events::details.eq(details), events::address.eq(address))))
    }
}
