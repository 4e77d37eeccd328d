//! The index of search: what may contain a fragment, in order of id. The caller compares the texts of what it finds.
//!
//! A change notes the resource as pending in its own transaction, and a job moves pending ones into the segments (`absorb.rs`,
//! `append.rs`). A search reads both, so that its result never depends on how far the job is.

mod absorb;
mod append;
mod erase;
mod split;

use std::collections::{BTreeMap, VecDeque};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{
    db::{
        Conn, ForUpdate, execute, queries, query,
        schema::{search_members, search_pending, search_postings, search_segments},
    },
    error::{Error, Result},
    models::{
        Fragment, Order, ResourceId,
        search::{self, CHUNK, Gram, Places, Postings, Searched},
    },
    repositories::Span,
};

/// Rows of ids of a segment that the key has room for.
const CHUNKS: i64 = 512;
/// Pending resources that one step of a search returns: all of them are compared.
const PENDING: i64 = 250;
/// Segments that the steps of a page read: one at first, since a frequent fragment fills the page from it. [`SearchRepository::begin`]
/// has read its postings.
const STEPS: [usize; 2] = [1, 9];
/// Rows that a page compares with the fragment.
const COMPARED: usize = 250;

/// The finds of one step of a search.
pub(super) struct Found {
    /// Ids of rows that may contain the fragment, in order.
    pub(super) ids: Vec<Uuid>,
    /// The last id up to which the step has looked; `None` if to the end.
    pub(super) searched_to: Option<Uuid>,
}

/// The search for a page: what it may still read, and how much it has compared.
pub(super) struct Progress {
    kind: i64,
    order: Order,
    steps: usize,
    /// Segments that have not been read, in order.
    segments: VecDeque<Segment>,
    /// True if further segments follow.
    has_more_segments: bool,
    /// The postings of the first segment, until its step.
    postings: Option<Vec<PostingsRow>>,
    /// The first pending ids.
    pending: Vec<Uuid>,
    compared: usize,
}

impl Progress {
    /// Counts rows that were compared.
    pub(super) fn compared(&mut self, rows: usize) {
        self.compared += rows;
    }

    /// True if the page must end here, and continue with its token.
    pub(super) fn is_finished(&self) -> bool {
        self.steps >= STEPS.len() || self.compared >= COMPARED
    }

    /// The part of a step that may still be compared, and the last id up to which the search has looked with it; `None` if to the end.
    pub(super) fn part<'f>(&self, found: &'f Found) -> (&'f [Uuid], Option<Uuid>) {
        let left = COMPARED.saturating_sub(self.compared);
        match found.ids.split_at_checked(left) {
            Some((part, others)) if !others.is_empty() => (part, part.last().copied()),
            _ => (&found.ids, found.searched_to),
        }
    }
}

/// The id and the number of a segment that may have members within a span, and its first and last id.
type Segment = (i64, ResourceId, ResourceId);

/// A segment, a bucket of grams and their postings in the segment.
type PostingsRow = (i64, i64, Vec<u8>);

/// Segments that may have members within a span, in order.
macro_rules! segments {
    ($kind:expr, $span:expr, $order:expr) => {{
        let query = search_segments::table.filter(search_segments::kind.eq($kind)).into_boxed::<Backend>();
        match $order {
            Order::OldestFirst => {
                query.filter(search_segments::last_id.gt(ResourceId($span.after))).order(search_segments::last_id)
            }
            Order::NewestFirst => query
                .filter(search_segments::first_id.le(ResourceId($span.up_to)))
                .order(search_segments::first_id.desc()),
        }
    }};
}

/// The pending ids within a span, in order.
macro_rules! pending {
    ($kind:expr, $span:expr, $order:expr) => {{
        let query = search_pending::table
            .filter(search_pending::kind.eq($kind))
            .filter(search_pending::id.gt(ResourceId($span.after)))
            .filter(search_pending::id.le(ResourceId($span.up_to)))
            .select(search_pending::id)
            .into_boxed::<Backend>();
        match $order {
            Order::OldestFirst => query.order(search_pending::id),
            Order::NewestFirst => query.order(search_pending::id.desc()),
        }
    }};
}

/// The postings of buckets of grams.
macro_rules! postings {
    ($kind:expr, $buckets:expr) => {
        search_postings::table
            .filter(search_postings::kind.eq($kind))
            .filter(search_postings::bucket.eq_any($buckets))
            .select((search_postings::segment, search_postings::bucket, search_postings::postings))
    };
}

/// Repository of the index.
pub struct SearchRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl SearchRepository<'_> {
    /// Notes a new resource. Takes no reach: the row is new.
    pub(super) async fn note_new(&mut self, searched: Searched, id: Uuid) -> Result<()> {
        let row = (
            search_pending::kind.eq(searched.stored()),
            search_pending::id.eq(ResourceId(id)),
            search_pending::changes.eq(0),
        );
        execute!(self.conn, diesel::insert_into(search_pending::table).values(row))
    }

    /// Notes that a searched text of a locked resource has changed. Waits for the job if that is reading the former one.
    pub(super) async fn changed(&mut self, searched: Searched, id: Uuid) -> Result<()> {
        let row = (
            search_pending::kind.eq(searched.stored()),
            search_pending::id.eq(ResourceId(id)),
            search_pending::changes.eq(0),
        );
        let again = search_pending::changes.eq(search_pending::changes + 1);
        let upsert = diesel::insert_into(search_pending::table)
            .values(row)
            .on_conflict((search_pending::kind, search_pending::id))
            .do_update()
            .set(again);
        execute!(self.conn, upsert)
    }

    /// Begins the search for a page. Takes no reach: the index has only ids.
    pub(super) async fn begin(
        &mut self,
        searched: Searched,
        fragment: &Fragment,
        span: Span,
        order: Order,
    ) -> Result<Progress> {
        let kind = searched.stored();
        let buckets = buckets_of(fragment);
        let most: usize = STEPS.iter().sum();
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let (segments, pending, postings): (Vec<Segment>, Vec<ResourceId>, Vec<PostingsRow>) = queries!(self.conn, c =>
            segments = segments!(kind, span, order)
                .select((search_segments::segment, search_segments::first_id, search_segments::last_id))
                .limit(limit)
                .load(c),
            pending = pending!(kind, span, order).limit(PENDING).load(c),
            postings = {
                let first = segments!(kind, span, order).select(search_segments::segment).single_value();
                postings!(kind, &buckets).filter(search_postings::segment.nullable().eq(first)).load(c)
            },
        );
        let has_more_segments = segments.len() >= most;
        Ok(Progress {
            kind,
            order,
            steps: 0,
            segments: segments.into(),
            has_more_segments,
            postings: Some(postings),
            pending: pending.into_iter().map(|id| id.0).collect(),
            compared: 0,
        })
    }

    /// The next step of a search within a span. Takes no reach: the caller adds its own to the rows that it reads.
    pub(super) async fn step(&mut self, fragment: &Fragment, span: Span, progress: &mut Progress) -> Result<Found> {
        let order = progress.order;
        let count = STEPS.get(progress.steps).copied().unwrap_or(1).min(progress.segments.len());
        progress.steps += 1;
        let segments: Vec<Segment> = progress.segments.drain(..count).collect();
        let is_end = progress.segments.is_empty() && !progress.has_more_segments;
        let mut searched_to = segments.last().filter(|_| !is_end).map(|(_, first, last)| match order {
            Order::OldestFirst => last.0,
            Order::NewestFirst => first.0,
        });
        let mut span = searched_to.map_or(span, |end| span.until(end, order));
        // Only the first pending ids are known.
        let is_cut = usize::try_from(PENDING).is_ok_and(|most| progress.pending.len() >= most);
        if let Some(last) = progress.pending.last().filter(|last| is_cut && span.contains(**last)) {
            (searched_to, span) = (Some(*last), span.until(*last, order));
        }
        let postings = match progress.postings.take() {
            Some(first) => first,
            None => self.postings(progress.kind, fragment, &segments).await?,
        };
        let mut ids = self.members(progress.kind, fragment, postings).await?;
        ids.extend(&progress.pending);
        ids.retain(|id| span.contains(*id));
        ids.sort_unstable();
        ids.dedup();
        if order == Order::NewestFirst {
            ids.reverse();
        }
        Ok(Found { ids, searched_to })
    }

    /// The postings of a fragment's grams in segments.
    async fn postings(&mut self, kind: i64, fragment: &Fragment, segments: &[Segment]) -> Result<Vec<PostingsRow>> {
        let numbers: Vec<i64> = segments.iter().map(|(segment, ..)| *segment).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let buckets = buckets_of(fragment);
        query!(self.conn, c => postings!(kind, &buckets).filter(search_postings::segment.eq_any(&numbers)).load(c))
    }

    /// The members of segments that have all grams of a fragment.
    async fn members(&mut self, kind: i64, fragment: &Fragment, rows: Vec<PostingsRow>) -> Result<Vec<Uuid>> {
        let grams = fragment.grams();
        let mut of_segment: BTreeMap<i64, Vec<Places>> = BTreeMap::new();
        for (segment, bucket, row) in rows {
            for gram in grams.iter().filter(|gram| stored_bucket(**gram) == bucket) {
                of_segment.entry(segment).or_default().push(Postings::find(&row, *gram).ok_or_else(malformed)?);
            }
        }
        let mut wanted: Vec<(i64, Vec<usize>)> = Vec::new();
        for (segment, lists) in of_segment {
            // A gram without a row occurs nowhere in the segment.
            if lists.len() < grams.len() {
                continue;
            }
            let places: Vec<usize> = search::common(lists).into_iter().map(usize::from).collect();
            for of_chunk in places.chunk_by(|one, next| one / CHUNK == next / CHUNK) {
                let Some(first) = of_chunk.first() else { continue };
                wanted.push((chunk_of(segment, *first)?, of_chunk.iter().map(|place| place % CHUNK).collect()));
            }
        }
        let chunks: Vec<i64> = wanted.iter().map(|(chunk, _)| *chunk).collect();
        let ids = self.chunks(kind, &chunks).await?;
        let found = wanted.iter().flat_map(|(chunk, places)| {
            let of_chunk = ids.get(chunk);
            places.iter().filter_map(move |place| of_chunk?.get(*place).copied())
        });
        Ok(found.collect())
    }

    /// Keeps others from writing the index until the transaction ends.
    async fn lock(&mut self, kind: i64) -> Result<()> {
        let _: i64 = query!(self.conn, c => {
            let lock = search_segments::table.filter(search_segments::kind.eq(kind)).filter(search_segments::segment.eq(0));
            ForUpdate(lock.select(search_segments::size)).get_result(c)
        })?;
        Ok(())
    }

    /// The ids of all members of a segment, by chunk.
    async fn members_of(&mut self, kind: i64, segment: i64, size: usize) -> Result<BTreeMap<i64, Vec<Uuid>>> {
        let chunks: Vec<i64> = (0..size).step_by(CHUNK).map(|place| chunk_of(segment, place)).collect::<Result<_>>()?;
        self.chunks(kind, &chunks).await
    }

    /// Ids of members by chunk.
    async fn chunks(&mut self, kind: i64, chunks: &[i64]) -> Result<BTreeMap<i64, Vec<Uuid>>> {
        let mut found = BTreeMap::new();
        if chunks.is_empty() {
            return Ok(found);
        }
        let rows: Vec<(i64, Vec<u8>)> = query!(self.conn, c => {
            search_members::table
                .filter(search_members::kind.eq(kind))
                .filter(search_members::chunk.eq_any(chunks))
                .select((search_members::chunk, search_members::ids))
                .load(c)
        })?;
        for (chunk, bytes) in rows {
            let ids: std::result::Result<Vec<Uuid>, _> = bytes.chunks(16).map(Uuid::from_slice).collect();
            found.insert(chunk, ids.map_err(|_| malformed())?);
        }
        Ok(found)
    }
}

/// The key of the row that has the id of the member at a place of a segment.
fn chunk_of(segment: i64, place: usize) -> Result<i64> {
    i64::try_from(place / CHUNK).map(|chunk| segment * CHUNKS + chunk).map_err(|_| malformed())
}

/// The buckets of a fragment's grams.
fn buckets_of(fragment: &Fragment) -> Vec<i64> {
    fragment.grams().into_iter().map(stored_bucket).collect()
}

fn stored_bucket(gram: Gram) -> i64 {
    i64::try_from(search::bucket(gram)).unwrap_or_default()
}

fn malformed() -> Error {
    Error::internal("a row of the search index is malformed")
}
