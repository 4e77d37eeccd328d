//! Splits segments that have outgrown their size. A segment grows beyond it by ids that are older than its last one: few after a late commit,
//! but many while a process whose clock lags creates resources.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{CHUNKS, SearchRepository, malformed};
use crate::{
    db::{
        execute, query,
        schema::{search_members, search_pending, search_postings, search_segments},
    },
    error::Result,
    models::{ResourceId, search::SEGMENT},
};

/// Members from which a segment is split.
const TOO_MANY: usize = 2 * SEGMENT;

impl SearchRepository<'_> {
    /// Replaces a segment by empty ones if it has too many members, and makes these pending again, so that the job adds them to those.
    /// Meanwhile searches find them as they find all that is pending.
    pub(super) async fn split(&mut self, kind: i64, segment: i64, size: usize) -> Result<()> {
        if size < TOO_MANY {
            return Ok(());
        }
        let members = self.members_of(kind, segment, size).await?;
        let mut ids: Vec<Uuid> = members.into_values().flatten().collect();
        ids.sort_unstable();
        self.delete_content(kind, segment).await?;
        for id in &ids {
            let row =
                (search_pending::kind.eq(kind), search_pending::id.eq(ResourceId(*id)), search_pending::changes.eq(0));
            execute!(self.conn, diesel::insert_into(search_pending::table).values(row).on_conflict_do_nothing())?;
        }
        let mut highest = self.highest(kind).await?;
        for (at, part) in ids.chunks(SEGMENT).enumerate() {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            if at == 0 {
                let split = search_segments::table.find((kind, segment));
                let emptied = (search_segments::last_id.eq(ResourceId(*last)), search_segments::size.eq(0));
                execute!(self.conn, diesel::update(split).set(emptied))?;
                continue;
            }
            highest += 1;
            let row = (
                search_segments::kind.eq(kind),
                search_segments::segment.eq(highest),
                search_segments::first_id.eq(ResourceId(*first)),
                search_segments::last_id.eq(ResourceId(*last)),
                search_segments::size.eq(0),
            );
            execute!(self.conn, diesel::insert_into(search_segments::table).values(row))?;
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
