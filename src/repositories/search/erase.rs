//! Erasing a resource from the index. It only grows otherwise: a search compares the texts of what it finds.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{SearchRepository, malformed};
use crate::{
    db::{execute, query, schema::search_postings},
    error::Result,
    models::{
        ResourceId,
        search::{BUCKETS, Postings, Searched},
    },
};

/// Buckets read at once.
const STEP: usize = 64;

impl SearchRepository<'_> {
    /// Removes the grams of the present and former texts of a resource that no longer exists. Its id stays in the list of members, since the
    /// others are found by their places in it. Takes no reach: only the service itself calls it.
    pub async fn erase(&mut self, searched: Searched, id: Uuid) -> Result<()> {
        let kind = searched.stored();
        // The job could otherwise add what it has read before the resource was deleted.
        self.lock(kind).await?;
        self.no_longer_pending(kind, &[ResourceId(id)]).await?;
        let Some((segment, place)) = self.place_of(kind, id).await? else { return Ok(()) };
        let step = i64::try_from(STEP).map_err(|_| malformed())?;
        let buckets = i64::try_from(BUCKETS).map_err(|_| malformed())?;
        for first in (0..buckets).step_by(STEP) {
            let rows: Vec<(i64, Vec<u8>)> = query!(self.conn, c => {
                search_postings::table
                    .filter(search_postings::kind.eq(kind))
                    .filter(search_postings::segment.eq(segment))
                    .filter(search_postings::bucket.ge(first))
                    .filter(search_postings::bucket.lt(first + step))
                    .select((search_postings::bucket, search_postings::postings))
                    .load(c)
            })?;
            for (bucket, row) in rows {
                let mut postings = Postings::decode(&row).ok_or_else(malformed)?;
                if postings.remove(place) {
                    let found = search_postings::table.find((kind, segment, bucket));
                    execute!(self.conn, diesel::update(found).set(search_postings::postings.eq(postings.encode())))?;
                }
            }
        }
        Ok(())
    }

    /// The segment of a member and its place there; `None` if the job has not added it.
    async fn place_of(&mut self, kind: i64, id: Uuid) -> Result<Option<(i64, u16)>> {
        let segment = self.segment_of(kind, id).await?;
        let members = self.members_of(kind, segment.number, segment.size).await?;
        let place = members.values().flatten().position(|member| *member == id);
        let place = place.map(|place| u16::try_from(place).map_err(|_| malformed())).transpose()?;
        Ok(place.map(|place| (segment.number, place)))
    }
}
