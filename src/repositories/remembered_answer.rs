//! How answers are remembered, so that a request sent again is answered as the first time.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    db::{Conn, execute, query, schema::remembered_answers},
    error::Result,
    models::{CredentialId, RequestId, Sealed, Timestamp},
};

/// Stores remembered answers. They belong to the credential that asked and to no other; that is their reach.
pub struct RememberedAnswerRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A request that the running transaction is the only one to answer.
#[derive(Debug)]
pub struct ClaimedRequest(CredentialId, RequestId);

impl RememberedAnswerRepository<'_> {
    /// Takes a request on, unless it was answered since `since`. Waits for another transaction that has taken it on and not
    /// ended.
    ///
    /// # Errors
    /// The answer of before is the `Err` of the inner result; the outer one is for when the database cannot be used.
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
        // Past its time, and not yet swept.
        self.forget(ClaimedRequest(key, request)).await?;
        self.insert(key, request, now).await?;
        Ok(Ok(ClaimedRequest(key, request)))
    }

    /// The answer to a request, if it was answered since `since`.
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

    /// Remembers the answer to a request.
    pub async fn remember(&mut self, request: ClaimedRequest, answer: Sealed) -> Result<()> {
        let found = remembered_answers::table.find((request.0, request.1));
        execute!(self.conn, diesel::update(found).set(remembered_answers::answer.eq(Some(answer))))
    }

    /// Lets a request go that was not answered: sent again, it is a new one.
    pub async fn forget(&mut self, request: ClaimedRequest) -> Result<()> {
        query!(self.conn, c => {
            diesel::delete(remembered_answers::table.find((request.0, request.1))).execute(c)
        })?;
        Ok(())
    }

    /// Removes up to `limit` answers from before, and tells how many.
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
