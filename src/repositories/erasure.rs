//! Storage of what is still to be erased.
//!
//! No function here takes a reach: only the service itself erases, after a user was purged.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::row;
use crate::{
    db::{Conn, ForUpdate, execute, query, schema::erasures},
    error::Result,
    models::{Erasure, EventId, PersonId, Timestamp, Trace, UserId},
};

row!(erasures: ErasureRow of Erasure {
    user_id: UserId,
    trace: Trace,
    subject: PersonId,
    requested_at: Timestamp,
    due_at: Timestamp,
    reached: Option<EventId>,
});

/// Repository of erasures. Methods take no reach: the user no longer exists.
pub struct ErasureRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl ErasureRepository<'_> {
    /// Stores a part of an erasure, unless it is stored already.
    pub async fn insert(&mut self, erasure: &Erasure) -> Result<()> {
        let row = ErasureRow::from(erasure);
        query!(self.conn, c => diesel::insert_into(erasures::table).values(row).on_conflict_do_nothing().execute(c))?;
        Ok(())
    }

    /// True if a part of an erasure is due.
    pub async fn is_any_due(&mut self, now: Timestamp) -> Result<bool> {
        let due: Option<UserId> = query!(self.conn, c => {
            let due = erasures::table.filter(erasures::due_at.le(now)).order(erasures::due_at).limit(1);
            async move { due.select(erasures::user_id).get_result(c).await.optional() }
        })?;
        Ok(due.is_some())
    }

    /// Locks the part of an erasure that is due first.
    pub async fn lock_next(&mut self, now: Timestamp) -> Result<Option<Erasure>> {
        let row: Option<ErasureRow> = query!(self.conn, c => {
            let due = erasures::table.filter(erasures::due_at.le(now)).order(erasures::due_at).limit(1);
            async move { ForUpdate(due.select(ErasureRow::as_select())).get_result(c).await.optional() }
        })?;
        Ok(row.map(Erasure::from))
    }

    /// Number of parts of the erasure of a user that are not complete.
    pub async fn count(&mut self, user: UserId) -> Result<i64> {
        query!(self.conn, c => erasures::table.filter(erasures::user_id.eq(user)).count().get_result(c))
    }

    /// Stores how far a locked part has come, and when it continues.
    pub async fn save(&mut self, erasure: &Erasure) -> Result<()> {
        let found = erasures::table.find((erasure.user_id, erasure.trace, erasure.subject));
        let progress = (erasures::due_at.eq(erasure.due_at), erasures::reached.eq(erasure.reached));
        execute!(self.conn, diesel::update(found).set(progress))
    }

    /// Removes a complete part. False if it is removed already.
    pub async fn delete(&mut self, erasure: &Erasure) -> Result<bool> {
        let removed = query!(self.conn, c => {
            let found = erasures::table.find((erasure.user_id, erasure.trace, erasure.subject));
            diesel::delete(found).execute(c)
        })?;
        Ok(removed > 0)
    }
}
