//! Splits segments that have outgrown their size. A segment grows beyond it by ids that are older than its last one: few after a late commit,
//! but many while a process whose clock lags creates resources.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{CHUNKS, SearchRepository, malformed};
use crate::{
    db::{
        execute, query,
        schema::{search_members, search_postings, search_segments},
    },
    error::Result,
    models::search::{SEGMENT, Searched},
};

/// Members from which a segment is split.
const TOO_MANY: usize = 2 * SEGMENT;

impl SearchRepository<'_> {
    /// Replaces a segment by empty ones if it has too many members, and makes these pending again, so that the job adds them to those.
    /// Meanwhile searches find them as they find all that is pending.
    pub(super) async fn split(&mut self, searched: Searched, segment: i64, size: usize) -> Result<()> {
        if size < TOO_MANY {
            return Ok(());
        }
        let kind = searched.stored();
        let members = self.members_of(kind, segment, size).await?;
        let mut ids: Vec<Uuid> = members.into_values().flatten().collect();
        ids.sort_unstable();
        self.delete_content(kind, segment).await?;
        for id in &ids {
            self.changed(searched, *id).await?;
        }
        let others = self.highest(kind).await? + 1..;
        for (number, part) in std::iter::once(segment).chain(others).zip(ids.chunks(SEGMENT)) {
            if let (Some(first), Some(last)) = (part.first(), part.last()) {
                self.write_segment(kind, number, (*first, *last), 0).await?;
            }
        }
        Ok(())
    }

    /// The highest number of a segment.
    pub(super) async fn highest(&mut self, kind: i64) -> Result<i64> {
        let highest: Option<i64> = query!(self.conn, c => {
            let of_kind = search_segments::table.filter(search_segments::kind.eq(kind));
            of_kind.select(diesel::dsl::max(search_segments::segment)).get_result(c)
        })?;
        highest.ok_or_else(malformed)
    }

    async fn delete_content(&mut self, kind: i64, segment: i64) -> Result<()> {
        let postings =
            search_postings::table.filter(search_postings::kind.eq(kind)).filter(search_postings::segment.eq(segment));
        execute!(self.conn, diesel::delete(postings))?;
        let members = search_members::table
            .filter(search_members::kind.eq(kind))
            .filter(search_members::chunk.ge(segment * CHUNKS))
            .filter(search_members::chunk.lt((segment + 1) * CHUNKS));
        execute!(self.conn, diesel::delete(members))
    }
}
