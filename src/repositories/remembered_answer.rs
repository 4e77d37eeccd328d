//! Remembered answers, so that a repeated request gets the same answer as the first.
//!
//! No function here takes a reach: a request belongs to the credential that sent it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    db::{
        Conn, execute, query,
        schema::{answer_persons, remembered_answers},
    },
    error::Result,
    models::{CredentialId, PersonId, RequestId, Sealed, Timestamp},
};

/// Repository of remembered answers. An answer belongs to the credential that made the request; that replaces a reach.
pub struct RememberedAnswerRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A request that only the current transaction may answer.
#[derive(Debug)]
pub struct ClaimedRequest(CredentialId, RequestId);

impl RememberedAnswerRepository<'_> {
    /// Claims a request, unless it was answered since `since`. Waits while another transaction holds the claim.
    ///
    /// # Errors
    /// The inner `Err` is the remembered answer.
    pub async fn claim(
        &mut self,
        key: CredentialId,
        request: RequestId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<std::result::Result<ClaimedRequest, Sealed>> {
        if self.insert(key, request, now).await? {
            return Ok(Ok(ClaimedRequest(key, request)));
        }
        if let Some(answer) = self.get(key, request, since).await? {
            return Ok(Err(answer));
        }
        // Expired, and not swept yet.
        self.forget(ClaimedRequest(key, request)).await?;
        self.insert(key, request, now).await?;
        Ok(Ok(ClaimedRequest(key, request)))
    }

    /// The answer to a request, if it was given since `since`.
    pub async fn get(&mut self, key: CredentialId, request: RequestId, since: Timestamp) -> Result<Option<Sealed>> {
        let found: Option<(Option<Sealed>, Timestamp)> = query!(self.conn, c => async {
            remembered_answers::table
                .find((key, request))
                .select((remembered_answers::answer, remembered_answers::created_at))
                .get_result(c)
                .await
                .optional()
        })?;
        Ok(found.filter(|(_, created_at)| *created_at >= since).and_then(|(answer, _)| answer))
    }

    async fn insert(&mut self, key: CredentialId, request: RequestId, now: Timestamp) -> Result<bool> {
        let inserted = query!(self.conn, c => {
            diesel::insert_into(remembered_answers::table)
                .values((
                    remembered_answers::credential_id.eq(key),
                    remembered_answers::request_id.eq(request),
                    remembered_answers::created_at.eq(now),
                ))
                .on_conflict_do_nothing()
                .execute(c)
        })?;
        Ok(inserted > 0)
    }

    /// Stores the answer to a claimed request, and whose data it holds.
    pub async fn remember(&mut self, request: ClaimedRequest, answer: Sealed, persons: &[PersonId]) -> Result<()> {
        let found = remembered_answers::table.find((request.0, request.1));
        execute!(self.conn, diesel::update(found).set(remembered_answers::answer.eq(Some(answer))))?;
        for person in persons {
            let row = (
                answer_persons::credential_id.eq(request.0),
                answer_persons::request_id.eq(request.1),
                answer_persons::person.eq(*person),
            );
            execute!(self.conn, diesel::insert_into(answer_persons::table).values(row))?;
        }
        Ok(())
    }

    /// Empties up to `limit` answers that hold data of a person, and returns how many. The requests stay answered: sent again, they change
    /// nothing.
    pub async fn erase(&mut self, person: PersonId, limit: i64) -> Result<usize> {
        let found: Vec<(CredentialId, RequestId)> = query!(self.conn, c => {
            answer_persons::table
                .filter(answer_persons::person.eq(person))
                .select((answer_persons::credential_id, answer_persons::request_id))
                .limit(limit)
                .load(c)
        })?;
        for (credential, request) in &found {
            let answer = remembered_answers::table.find((*credential, *request));
            let nothing = remembered_answers::answer.eq(Some(Sealed::erased()));
            execute!(self.conn, diesel::update(answer).set(nothing))?;
            let person = answer_persons::table.find((*credential, *request, person));
            execute!(self.conn, diesel::delete(person))?;
        }
        Ok(found.len())
    }

    /// Releases a claimed request without an answer: sent again, it is a new request.
    pub async fn forget(&mut self, request: ClaimedRequest) -> Result<()> {
        query!(self.conn, c => {
            diesel::delete(remembered_answers::table.find((request.0, request.1))).execute(c)
        })?;
        Ok(())
    }

    /// Deletes up to `limit` answers older than `before` and returns how many.
    pub async fn delete_before(&mut self, before: Timestamp, limit: i64) -> Result<usize> {
        let old: Vec<(CredentialId, RequestId)> = query!(self.conn, c => {
            remembered_answers::table
                .filter(remembered_answers::created_at.lt(before))
                .order(remembered_answers::created_at)
                .select((remembered_answers::credential_id, remembered_answers::request_id))
                .limit(limit)
                .load(c)
        })?;
        let mut removed = 0;
        for (key, request) in old {
            self.forget(ClaimedRequest(key, request)).await?;
            removed += 1;
        }
        Ok(removed)
    }
}
