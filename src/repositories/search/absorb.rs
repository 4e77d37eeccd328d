//! The job of the index: moves pending resources into segments.

use std::collections::{BTreeMap, HashMap};

use diesel::{prelude::*, upsert::excluded};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{CHUNKS, SearchRepository, malformed};
use crate::{
    db::{
        ForUpdate, execute, query,
        schema::{organizations, search_members, search_pending, search_postings, search_segments, users},
    },
    error::{Error, Result},
    models::{
        Name, NormalizedEmail, OrganizationId, ResourceId, Slug, UserId,
        search::{BUCKETS, CHUNK, Gram, Postings, SEGMENT, Searched, bucket, grams, searchable},
    },
};

/// Rows read by one statement.
const ROWS: usize = 500;
/// Ids read by one statement.
const IDS: usize = 1000;

/// The grams of a bucket that members are added to, each with the place of the member.
type Added = Vec<(Gram, u16)>;

/// A segment that members are added to.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) number: i64,
    first: Uuid,
    last: Uuid,
    pub(super) size: usize,
    /// Added rows.
    added: Vec<(Uuid, String)>,
}

impl Open {
    fn read((number, first, last, size): (i64, ResourceId, ResourceId, i64)) -> Result<Self> {
        let size = usize::try_from(size).map_err(|_| malformed())?;
        Ok(Self { number, first: first.0, last: last.0, size, added: Vec::new() })
    }

    fn is_full(&self) -> bool {
        self.size + self.added.len() >= SEGMENT
    }
}

/// The columns of [`Open`].
macro_rules! opened {
    () => {
        search_segments::table.select((
            search_segments::segment,
            search_segments::first_id,
            search_segments::last_id,
            search_segments::size,
        ))
    };
}

impl SearchRepository<'_> {
    /// True if anything is pending. Takes no reach: only the service itself calls it.
    pub async fn has_pending(&mut self, searched: Searched) -> Result<bool> {
        let kind = searched.stored();
        let first: Option<ResourceId> = query!(self.conn, c => {
            let query = search_pending::table.filter(search_pending::kind.eq(kind)).select(search_pending::id).limit(1);
            async move { query.get_result(c).await.optional() }
        })?;
        Ok(first.is_some())
    }

    /// Moves up to `limit` pending resources into the index, and returns how many. Takes no reach: only the service itself calls it.
    pub async fn absorb(&mut self, searched: Searched, limit: i64) -> Result<usize> {
        let kind = searched.stored();
        // One process at a time.
        self.lock(kind).await?;
        let ids: Vec<ResourceId> = query!(self.conn, c => {
            let query = search_pending::table
                .filter(search_pending::kind.eq(kind))
                .order(search_pending::id)
                .select(search_pending::id)
                .limit(limit);
            // A change that has not ended is waited for: its text is read below.
            ForUpdate(query).load(c)
        })?;
        let mut texts = Vec::new();
        for ids in ids.chunks(IDS) {
            texts.extend(self.texts(searched, ids).await?);
        }
        texts.sort_unstable();
        for open in self.distribute(kind, texts).await? {
            self.fill(kind, &open).await?;
        }
        for ids in ids.chunks(IDS) {
            query!(self.conn, c => {
                let done = search_pending::table
                    .filter(search_pending::kind.eq(kind))
                    .filter(search_pending::id.eq_any(ids));
                diesel::delete(done).execute(c)
            })?;
        }
        Ok(ids.len())
    }

    /// The searched texts of resources; those that no longer exist are left out.
    async fn texts(&mut self, searched: Searched, ids: &[ResourceId]) -> Result<Vec<(Uuid, String)>> {
        match searched {
            Searched::Users => {
                let ids: Vec<UserId> = ids.iter().map(|id| UserId(id.0)).collect();
                let rows: Vec<(UserId, Name, NormalizedEmail)> = query!(self.conn, c => {
                    let found = users::table.filter(users::id.eq_any(&ids));
                    found.select((users::id, users::name, users::email_normalized)).load(c)
                })?;
                let text = |name: &Name, email: &NormalizedEmail| searchable(&[name.as_str(), email.as_str()]);
                Ok(rows.iter().map(|(id, name, email)| (id.0, text(name, email))).collect())
            }
            Searched::Organizations => {
                let ids: Vec<OrganizationId> = ids.iter().map(|id| OrganizationId(id.0)).collect();
                let rows: Vec<(OrganizationId, Name, Slug)> = query!(self.conn, c => {
                    let found = organizations::table.filter(organizations::id.eq_any(&ids));
                    found.select((organizations::id, organizations::name, organizations::slug)).load(c)
                })?;
                let text = |name: &Name, slug: &Slug| searchable(&[name.as_str(), slug.as_str()]);
                Ok(rows.iter().map(|(id, name, slug)| (id.0, text(name, slug))).collect())
            }
        }
    }

    /// Finds the segment of each of some texts, in order of id. A new segment begins after the last id of all others.
    async fn distribute(&mut self, kind: i64, texts: Vec<(Uuid, String)>) -> Result<Vec<Open>> {
        let last = query!(self.conn, c => {
            opened!().filter(search_segments::kind.eq(kind)).order(search_segments::segment.desc()).limit(1).get_result(c)
        })?;
        let mut newest = Open::read(last)?;
        let (mut older, mut full): (BTreeMap<i64, Open>, Vec<Open>) = (BTreeMap::new(), Vec::new());
        for (id, text) in texts {
            if id < newest.first {
                // Changed since it was absorbed, or committed late. Few are, except after a migration, when there is one segment.
                let open = self.segment_of(kind, id).await?;
                older.entry(open.number).or_insert(open).added.push((id, text));
                continue;
            }
            if newest.is_full() && id > newest.last {
                let next = Open { number: newest.number + 1, first: id, last: id, size: 0, added: Vec::new() };
                full.push(std::mem::replace(&mut newest, next));
            }
            newest.last = newest.last.max(id);
            newest.added.push((id, text));
        }
        full.push(newest);
        Ok(older.into_values().chain(full).filter(|open| !open.added.is_empty()).collect())
    }

    pub(super) async fn segment_of(&mut self, kind: i64, id: Uuid) -> Result<Open> {
        let found = query!(self.conn, c => {
            opened!()
                .filter(search_segments::kind.eq(kind))
                .filter(search_segments::first_id.le(ResourceId(id)))
                .order(search_segments::first_id.desc())
                .limit(1)
                .get_result(c)
        })?;
        Open::read(found)
    }

    /// Adds members to a segment, and grams of those that it has.
    async fn fill(&mut self, kind: i64, open: &Open) -> Result<()> {
        let chunk_of = |place: usize| {
            i64::try_from(place / CHUNK).map(|chunk| open.number * CHUNKS + chunk).map_err(|_| malformed())
        };
        let mut members: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        if open.size > 0 {
            let chunks: Vec<i64> =
                (0..open.size.div_ceil(CHUNK)).map(|chunk| chunk_of(chunk * CHUNK)).collect::<Result<_>>()?;
            members = self.chunks(kind, &chunks).await?;
            places.extend(members.values().flatten().copied().zip(0..));
        }
        let mut size = open.size;
        let mut written: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        let mut added: Vec<Added> = Vec::new();
        added.resize_with(BUCKETS, Vec::new);
        for (id, text) in &open.added {
            let place = *places.entry(*id).or_insert(size);
            if place == size {
                let chunk = chunk_of(place)?;
                let ids = members.entry(chunk).or_default();
                ids.push(*id);
                written.insert(chunk, ids.iter().flat_map(|id| *id.as_bytes()).collect());
                size += 1;
            }
            let place =
                u16::try_from(place).map_err(|_| Error::internal("a segment of the search index is too large"))?;
            for gram in grams(text) {
                if let Some(added) = added.get_mut(bucket(gram)) {
                    added.push((gram, place));
                }
            }
        }
        self.write_postings(kind, open, added).await?;
        self.write_members(kind, written).await?;
        let last = open.added.iter().map(|(id, _)| *id).fold(open.last, Ord::max);
        let size = i64::try_from(size).map_err(|_| malformed())?;
        let row = (
            search_segments::kind.eq(kind),
            search_segments::segment.eq(open.number),
            search_segments::first_id.eq(ResourceId(open.first)),
            search_segments::last_id.eq(ResourceId(last)),
            search_segments::size.eq(size),
        );
        let upsert = diesel::insert_into(search_segments::table)
            .values(row)
            .on_conflict((search_segments::kind, search_segments::segment))
            .do_update()
            .set((
                search_segments::last_id.eq(excluded(search_segments::last_id)),
                search_segments::size.eq(excluded(search_segments::size)),
            ));
        execute!(self.conn, upsert)
    }

    async fn write_postings(&mut self, kind: i64, open: &Open, added: Vec<Added>) -> Result<()> {
        let number = open.number;
        let added: Vec<(i64, Added)> = (0..).zip(added).filter(|(_, added)| !added.is_empty()).collect();
        for some in added.chunks(ROWS) {
            let mut stored: HashMap<i64, Vec<u8>> = HashMap::new();
            if open.size > 0 {
                let buckets: Vec<i64> = some.iter().map(|(bucket, _)| *bucket).collect();
                let rows: Vec<(i64, Vec<u8>)> = query!(self.conn, c => {
                    search_postings::table
                        .filter(search_postings::kind.eq(kind))
                        .filter(search_postings::segment.eq(number))
                        .filter(search_postings::bucket.eq_any(&buckets))
                        .select((search_postings::bucket, search_postings::postings))
                        .load(c)
                })?;
                stored.extend(rows);
            }
            for (bucket, added) in some {
                let mut postings =
                    Postings::decode(stored.get(bucket).map_or(&[], Vec::as_slice)).ok_or_else(malformed)?;
                for (gram, place) in added {
                    postings.add(*gram, *place);
                }
                let row = (
                    search_postings::kind.eq(kind),
                    search_postings::segment.eq(number),
                    search_postings::bucket.eq(*bucket),
                    search_postings::postings.eq(postings.encode()),
                );
                let upsert = diesel::insert_into(search_postings::table)
                    .values(row)
                    .on_conflict((search_postings::kind, search_postings::segment, search_postings::bucket))
                    .do_update()
                    .set(search_postings::postings.eq(excluded(search_postings::postings)));
                execute!(self.conn, upsert)?;
            }
        }
        Ok(())
    }

    async fn write_members(&mut self, kind: i64, written: BTreeMap<i64, Vec<u8>>) -> Result<()> {
        for (chunk, ids) in written {
            let row = (search_members::kind.eq(kind), search_members::chunk.eq(chunk), search_members::ids.eq(ids));
            let upsert = diesel::insert_into(search_members::table)
                .values(row)
                .on_conflict((search_members::kind, search_members::chunk))
                .do_update()
                .set(search_members::ids.eq(excluded(search_members::ids)));
            execute!(self.conn, upsert)?;
        }
        Ok(())
    }
}
