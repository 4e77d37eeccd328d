//! Whole new segments. Their rows are computed outside of the transaction that writes them, so that many new resources delay other writers
//! little.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    SearchRepository,
    absorb::{ExtendedSegment, IDS, OpenSegment, PostingRows, encoded},
    malformed,
};
use crate::{
    db::{ForUpdate, query, schema::search_pending},
    error::Result,
    models::{
        ResourceId,
        search::{SEGMENT, Searched},
    },
};

/// A pending resource, and the number of changes since it became pending.
type Pending = (ResourceId, i64);

/// Pending resources that fill a segment after the last one.
pub struct Batch {
    open: OpenSegment,
    pending: Vec<Pending>,
}

/// A new segment, encoded.
pub struct NewSegment {
    batch: Batch,
    extended: ExtendedSegment,
    postings: PostingRows,
}

impl Batch {
    /// Encodes the segment. Takes tens of milliseconds.
    ///
    /// # Errors
    /// [`crate::error::Error::Internal`] if the number of the segment is out of range.
    pub fn encode(self) -> Result<NewSegment> {
        let (extended, added) = self.open.extended(BTreeMap::new())?;
        let postings = encoded(added, &HashMap::new())?;
        Ok(NewSegment { batch: self, extended, postings })
    }
}

impl SearchRepository<'_> {
    /// The pending resources after the last segment, if that is full and they fill another one. Takes no reach: only the service itself
    /// calls it.
    pub async fn batch(&mut self, searched: Searched) -> Result<Option<Batch>> {
        let kind = searched.stored();
        let newest = self.newest(kind).await?;
        if newest.room() > 0 {
            return Ok(None);
        }
        let most = i64::try_from(SEGMENT).map_err(|_| malformed())?;
        let pending: Vec<Pending> = query!(self.conn, c => {
            search_pending::table
                .filter(search_pending::kind.eq(kind))
                .filter(search_pending::id.gt(ResourceId(newest.last)))
                .order(search_pending::id)
                .select((search_pending::id, search_pending::changes))
                .limit(most)
                .load(c)
        })?;
        let ids: Vec<ResourceId> = pending.iter().map(|(id, _)| *id).collect();
        let Some(first) = ids.get(..SEGMENT).and_then(<[_]>::first) else { return Ok(None) };
        // Read after the numbers of changes: a change in between is one more.
        let texts = self.texts(searched, &ids).await?;
        let number = self.highest(kind).await? + 1;
        Ok(Some(Batch { open: OpenSegment::new(number, first.0, texts), pending }))
    }

    /// Writes a new segment, unless another process wrote one, or one of its resources has changed since they were read. Returns its last
    /// id if it was written. Takes no reach: only the service itself calls it.
    pub async fn append(&mut self, searched: Searched, segment: &NewSegment) -> Result<Option<Uuid>> {
        let kind = searched.stored();
        let NewSegment { batch: Batch { open, pending }, extended, postings } = segment;
        self.lock(kind).await?;
        let newest = self.newest(kind).await?;
        if self.highest(kind).await? + 1 != open.number || newest.room() > 0 || newest.last >= open.first {
            return Ok(None);
        }
        let ids: Vec<ResourceId> = pending.iter().map(|(id, _)| *id).collect();
        let mut current: Vec<Pending> = Vec::new();
        for ids in ids.chunks(IDS) {
            let rows: Vec<Pending> = query!(self.conn, c => {
                let query = search_pending::table
                    .filter(search_pending::kind.eq(kind))
                    .filter(search_pending::id.eq_any(ids))
                    .order(search_pending::id)
                    .select((search_pending::id, search_pending::changes));
                // A change that has not ended is waited for, and one more.
                ForUpdate(query).load(c)
            })?;
            current.extend(rows);
        }
        if current != *pending {
            return Ok(None);
        }
        self.write(kind, open, extended, postings).await?;
        self.no_longer_pending(kind, &ids).await?;
        Ok(Some(extended.last))
    }
}
