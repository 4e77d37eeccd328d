//! The job of the index: moves pending resources into segments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{prelude::*, upsert::excluded};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{SearchRepository, chunk_of, malformed};
use crate::{
    db::{
        ForUpdate, execute, query,
        schema::{organizations, search_members, search_pending, search_postings, search_segments, users},
    },
    error::{Error, Result},
    models::{
        Name, NormalizedEmail, OrganizationId, ResourceId, Slug, UserId,
        search::{BUCKETS, Gram, Postings, SEGMENT, Searched, bucket, each_gram, searchable},
    },
};

/// Ids read by one statement.
pub(super) const IDS: usize = 1000;

/// The grams of a bucket that members are added to, each with the place of the member.
pub(super) type NewPostings = Vec<(Gram, u16)>;

/// Encoded rows of postings, by bucket.
pub(super) type PostingRows = Vec<(i64, Vec<u8>)>;
/// Encoded rows of members, by chunk.
pub(super) type MemberRows = BTreeMap<i64, Vec<u8>>;

/// A segment that members are added to.
#[derive(Clone)]
pub(super) struct OpenSegment {
    pub(super) number: i64,
    pub(super) first: Uuid,
    pub(super) last: Uuid,
    pub(super) size: usize,
    /// Added resources, each with its searched text, in order of id.
    added: Vec<(Uuid, String)>,
}

/// The members of a segment with added ones.
pub(super) struct ExtendedSegment {
    /// The rows that change.
    members: MemberRows,
    size: usize,
    pub(super) last: Uuid,
}

impl OpenSegment {
    fn read((number, first, last, size): (i64, ResourceId, ResourceId, i64)) -> Result<Self> {
        let size = usize::try_from(size).map_err(|_| malformed())?;
        Ok(Self { number, first: first.0, last: last.0, size, added: Vec::new() })
    }

    /// An empty segment with its first members.
    pub(super) fn new(number: i64, first: Uuid, added: Vec<(Uuid, String)>) -> Self {
        Self { number, first, last: first, size: 0, added }
    }

    /// The number of members that it has room for.
    pub(super) fn room(&self) -> usize {
        SEGMENT.saturating_sub(self.size + self.added.len())
    }

    /// Adds to the segment, which has `members` by chunk. Returns the added grams by bucket, too.
    pub(super) fn extended(
        &self,
        mut members: BTreeMap<i64, Vec<Uuid>>,
    ) -> Result<(ExtendedSegment, Vec<(i64, NewPostings)>)> {
        let mut places: HashMap<Uuid, usize> = members.values().flatten().copied().zip(0..).collect();
        let mut size = self.size;
        let mut changed: BTreeSet<i64> = BTreeSet::new();
        let mut postings: Vec<NewPostings> = Vec::new();
        postings.resize_with(BUCKETS, Vec::new);
        for (id, text) in &self.added {
            let place = *places.entry(*id).or_insert(size);
            if place == size {
                let chunk = chunk_of(self.number, place)?;
                members.entry(chunk).or_default().push(*id);
                changed.insert(chunk);
                size += 1;
            }
            let place =
                u16::try_from(place).map_err(|_| Error::internal("a segment of the search index is too large"))?;
            each_gram(text, |gram| {
                if let Some(added) = postings.get_mut(bucket(gram)) {
                    added.push((gram, place));
                }
            });
        }
        members.retain(|chunk, _| changed.contains(chunk));
        let bytes = |ids: Vec<Uuid>| ids.into_iter().flat_map(Uuid::into_bytes).collect();
        let extended = ExtendedSegment {
            members: members.into_iter().map(|(chunk, ids)| (chunk, bytes(ids))).collect(),
            size,
            last: self.added.iter().map(|(id, _)| *id).fold(self.last, Ord::max),
        };
        Ok((extended, (0..).zip(postings).filter(|(_, added)| !added.is_empty()).collect()))
    }
}

/// Adds to rows of postings, and returns the rows that change.
pub(super) fn encoded(added: Vec<(i64, NewPostings)>, stored: &HashMap<i64, Vec<u8>>) -> Result<PostingRows> {
    let row = |(bucket, added): (i64, NewPostings)| {
        let stored = stored.get(&bucket).map_or(&[][..], Vec::as_slice);
        let mut postings = Postings::decode(stored).ok_or_else(malformed)?;
        postings.extend(added);
        Ok((bucket, postings.encode()))
    };
    added.into_iter().map(row).collect()
}

/// The columns of [`OpenSegment`].
macro_rules! open_segments {
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

    /// Moves up to `limit` pending resources into the index, of those with an id up to `last` if there is one. True if it has reached the
    /// limit, so that there may be more. Takes no reach: only the service itself calls it.
    pub async fn absorb(&mut self, searched: Searched, limit: usize, last: Option<Uuid>) -> Result<bool> {
        let kind = searched.stored();
        // One process at a time.
        self.lock(kind).await?;
        let newest = self.newest(kind).await?;
        // Filled exactly, so that whole segments can follow.
        let limit = if newest.room() > 0 { limit.min(newest.room()) } else { limit };
        let most = i64::try_from(limit).map_err(|_| malformed())?;
        let ids: Vec<ResourceId> = query!(self.conn, c => {
            let query = search_pending::table
                .filter(search_pending::kind.eq(kind))
                .filter(search_pending::id.le(ResourceId(last.unwrap_or(Uuid::max()))))
                .order(search_pending::id)
                .select(search_pending::id)
                .limit(most);
            // A change that has not ended is waited for: its text is read below.
            ForUpdate(query).load(c)
        })?;
        let texts = self.texts(searched, &ids).await?;
        let mut sizes = Vec::new();
        for open in self.distribute(kind, newest, texts).await? {
            sizes.push((open.number, self.fill(kind, &open).await?));
        }
        self.no_longer_pending(kind, &ids).await?;
        for (segment, size) in sizes {
            self.split(searched, segment, size).await?;
        }
        Ok(ids.len() >= limit)
    }

    pub(super) async fn no_longer_pending(&mut self, kind: i64, ids: &[ResourceId]) -> Result<()> {
        for ids in ids.chunks(IDS) {
            query!(self.conn, c => {
                let done = search_pending::table
                    .filter(search_pending::kind.eq(kind))
                    .filter(search_pending::id.eq_any(ids));
                diesel::delete(done).execute(c)
            })?;
        }
        Ok(())
    }

    /// The searched texts of resources, in order of id; those that no longer exist are left out.
    pub(super) async fn texts(&mut self, searched: Searched, ids: &[ResourceId]) -> Result<Vec<(Uuid, String)>> {
        let mut texts = Vec::new();
        for ids in ids.chunks(IDS) {
            texts.extend(self.some_texts(searched, ids).await?);
        }
        texts.sort_unstable();
        Ok(texts)
    }

    async fn some_texts(&mut self, searched: Searched, ids: &[ResourceId]) -> Result<Vec<(Uuid, String)>> {
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

    /// The segment with the last ids.
    pub(super) async fn newest(&mut self, kind: i64) -> Result<OpenSegment> {
        let last = query!(self.conn, c => {
            open_segments!().filter(search_segments::kind.eq(kind)).order(search_segments::first_id.desc()).limit(1).get_result(c)
        })?;
        OpenSegment::read(last)
    }

    /// Finds the segment of each of some texts, in order of id. A new segment begins after the last id of all others.
    async fn distribute(
        &mut self,
        kind: i64,
        mut newest: OpenSegment,
        texts: Vec<(Uuid, String)>,
    ) -> Result<Vec<OpenSegment>> {
        let (mut older, mut full): (BTreeMap<i64, OpenSegment>, Vec<OpenSegment>) = (BTreeMap::new(), Vec::new());
        let mut highest = self.highest(kind).await?;
        for (id, text) in texts {
            if id < newest.first {
                // Changed since it was absorbed, or committed late. Few are, except after a migration, when there is one segment.
                let open = self.segment_of(kind, id).await?;
                older.entry(open.number).or_insert(open).added.push((id, text));
                continue;
            }
            if newest.room() == 0 && id > newest.last {
                highest += 1;
                let next = OpenSegment::new(highest, id, Vec::new());
                full.push(std::mem::replace(&mut newest, next));
            }
            newest.last = newest.last.max(id);
            newest.added.push((id, text));
        }
        full.push(newest);
        Ok(older.into_values().chain(full).filter(|open| !open.added.is_empty()).collect())
    }

    pub(super) async fn segment_of(&mut self, kind: i64, id: Uuid) -> Result<OpenSegment> {
        let found = query!(self.conn, c => {
            open_segments!()
                .filter(search_segments::kind.eq(kind))
                .filter(search_segments::first_id.le(ResourceId(id)))
                .order(search_segments::first_id.desc())
                .limit(1)
                .get_result(c)
        })?;
        OpenSegment::read(found)
    }

    /// Adds members to a segment, and grams of those that it has. Returns how many members it then has.
    async fn fill(&mut self, kind: i64, open: &OpenSegment) -> Result<usize> {
        let members = self.members_of(kind, open.number, open.size).await?;
        let (extended, added) = open.extended(members)?;
        let mut stored: HashMap<i64, Vec<u8>> = HashMap::new();
        if open.size > 0 {
            let buckets: Vec<i64> = added.iter().map(|(bucket, _)| *bucket).collect();
            let rows: Vec<(i64, Vec<u8>)> = query!(self.conn, c => {
                search_postings::table
                    .filter(search_postings::kind.eq(kind))
                    .filter(search_postings::segment.eq(open.number))
                    .filter(search_postings::bucket.eq_any(&buckets))
                    .select((search_postings::bucket, search_postings::postings))
                    .load(c)
            })?;
            stored.extend(rows);
        }
        self.write(kind, open, &extended, &encoded(added, &stored)?).await?;
        Ok(extended.size)
    }

    /// Writes a segment with its added members and the rows of postings that change.
    pub(super) async fn write(
        &mut self,
        kind: i64,
        open: &OpenSegment,
        extended: &ExtendedSegment,
        postings: &PostingRows,
    ) -> Result<()> {
        self.write_postings(kind, open.number, postings).await?;
        self.write_members(kind, &extended.members).await?;
        self.write_segment(kind, open.number, (open.first, extended.last), extended.size).await
    }

    /// Stores a new segment, or the last id and the size of an existing one.
    pub(super) async fn write_segment(
        &mut self,
        kind: i64,
        number: i64,
        (first, last): (Uuid, Uuid),
        size: usize,
    ) -> Result<()> {
        let size = i64::try_from(size).map_err(|_| malformed())?;
        let row = (
            search_segments::kind.eq(kind),
            search_segments::segment.eq(number),
            search_segments::first_id.eq(ResourceId(first)),
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

    async fn write_postings(&mut self, kind: i64, number: i64, rows: &PostingRows) -> Result<()> {
        for (bucket, postings) in rows {
            let row = (
                search_postings::kind.eq(kind),
                search_postings::segment.eq(number),
                search_postings::bucket.eq(*bucket),
                search_postings::postings.eq(postings.clone()),
            );
            let upsert = diesel::insert_into(search_postings::table)
                .values(row)
                .on_conflict((search_postings::kind, search_postings::segment, search_postings::bucket))
                .do_update()
                .set(search_postings::postings.eq(excluded(search_postings::postings)));
            execute!(self.conn, upsert)?;
        }
        Ok(())
    }

    async fn write_members(&mut self, kind: i64, rows: &MemberRows) -> Result<()> {
        for (chunk, ids) in rows {
            let row =
                (search_members::kind.eq(kind), search_members::chunk.eq(*chunk), search_members::ids.eq(ids.clone()));
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
