//! Storage of metadata entries, by which lists are filtered. They are written in the change's own transaction, with their resource.
//!
//! No function here takes a reach: entries are read for a list that has one, and written with a row that is new or locked.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    db::{Conn, StoreEntries, execute, query, schema::metadata_entries},
    error::Result,
    models::{
        Cursor, MetadataKind, MetadataMatch, Order, PageRequest, Parts, ResourceId,
        metadata::{Described, MetadataEntry},
    },
    repositories::{Span, spanned},
};

/// Entries that a page reads at first in addition to its rows, since a few of those may be deleted.
const SPARE: i64 = 8;
/// Maximum number of entries per statement.
const MAX_ROWS: usize = 200;

/// Stores the entries of a new resource.
pub(super) async fn index(conn: &mut Conn, resource: &impl Described) -> Result<()> {
    store(conn, resource.entries()).await
}

/// Stores the entries that a change of a resource has added or changed, and deletes those that it has removed.
pub(super) async fn reindex<T: Described>(conn: &mut Conn, before: &T, after: &T) -> Result<()> {
    if before.objects() == after.objects() {
        return Ok(());
    }
    let (former, entries) = (before.entries(), after.entries());
    for (kind, _) in after.objects() {
        let is_kept = |key: &str| entries.iter().any(|entry| entry.kind == kind && entry.key == key);
        let of_kind = former.iter().filter(|entry| entry.kind == kind && !is_kept(&entry.key));
        let removed: Vec<String> = of_kind.map(|entry| entry.key.clone()).collect();
        if !removed.is_empty() {
            let id = after.resource_id();
            query!(conn, c => {
                let own = metadata_entries::table.filter(metadata_entries::kind.eq(kind));
                let own = own.filter(metadata_entries::resource_id.eq(id)).filter(metadata_entries::key.eq_any(&removed));
                diesel::delete(own).execute(c)
            })?;
        }
    }
    store(conn, entries.into_iter().filter(|entry| !former.contains(entry)).collect()).await
}

/// Deletes the entries of resources that are being deleted.
pub(super) async fn unindex<'t, T: Described + 't>(
    conn: &mut Conn,
    removed: impl IntoIterator<Item = &'t T>,
) -> Result<()> {
    // Most resources have no metadata.
    let removed = removed.into_iter().filter(|one| one.objects().iter().any(|(_, object)| !object.0.is_empty()));
    let (mut kinds, mut ids): (Vec<MetadataKind>, Vec<ResourceId>) = (Vec::new(), Vec::new());
    for one in removed {
        kinds = one.objects().into_iter().map(|(kind, _)| kind).collect();
        ids.push(one.resource_id());
    }
    if !ids.is_empty() {
        query!(conn, c => {
            let own = metadata_entries::table.filter(metadata_entries::kind.eq_any(&kinds));
            diesel::delete(own.filter(metadata_entries::resource_id.eq_any(&ids))).execute(c)
        })?;
    }
    Ok(())
}

async fn store(conn: &mut Conn, mut entries: Vec<MetadataEntry>) -> Result<()> {
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(MAX_ROWS));
        execute!(conn, StoreEntries(entries))?;
        entries = rest;
    }
    Ok(())
}

/// A walk through the resources with one value of a key, in the order of a list, until a page is full.
pub(super) struct Walk<'f> {
    kind: MetadataKind,
    scope_id: ResourceId,
    filter: &'f MetadataMatch,
    /// The ids still to be read.
    span: Span,
    order: Order,
    /// The last resource that was read.
    last: Option<ResourceId>,
    /// Entries to read next: first enough for the page, then all that may still be read, since few pass the other filters.
    step: i64,
    /// Entries that may still be read for this page.
    left: i64,
    /// Whether there may be more entries than were read.
    has_more: bool,
    /// Resources whose rows have not been read.
    found: Vec<ResourceId>,
    parts: Parts,
}

impl<'f> Walk<'f> {
    /// Begins a walk through the resources of a scope.
    pub(super) fn new(
        (kind, filter): (MetadataKind, &'f MetadataMatch),
        scope_id: ResourceId,
        page: &PageRequest,
    ) -> Self {
        Self {
            kind,
            scope_id,
            filter,
            span: Span::of(page),
            order: page.order,
            last: None,
            step: page.limit().saturating_add(SPARE),
            left: page.look_up(),
            has_more: true,
            found: Vec::new(),
            parts: page.parts(),
        }
    }

    /// The ids of the resources to read next, given the number of rows on the page, which is not full. None at the end, and once a page has
    /// read as many as it may.
    pub(super) async fn next(&mut self, conn: &mut Conn, passed: usize) -> Result<Vec<ResourceId>> {
        if self.found.is_empty() {
            self.found = self.entries(conn).await?;
        }
        let mut rest = self.found.as_slice();
        let part = self.parts.next(&mut rest, passed).unwrap_or_default().to_vec();
        self.found = rest.to_vec();
        Ok(part)
    }

    async fn entries(&mut self, conn: &mut Conn) -> Result<Vec<ResourceId>> {
        let limit = self.step.min(self.left);
        if limit <= 0 || !self.has_more {
            return Ok(Vec::new());
        }
        let found: Vec<ResourceId> = query!(conn, c => {
            let entries = metadata_entries::table
                .filter(metadata_entries::kind.eq(self.kind))
                .filter(metadata_entries::scope_id.eq(self.scope_id))
                .filter(metadata_entries::key.eq(self.filter.key()))
                .filter(metadata_entries::value.eq(self.filter.value()))
                .select(metadata_entries::resource_id)
                .into_boxed::<Backend>();
            spanned!(entries, metadata_entries::resource_id, ResourceId, self.span, self.order).limit(limit).load(c)
        })?;
        let read = i64::try_from(found.len()).unwrap_or(i64::MAX);
        self.has_more = read >= limit;
        self.left = self.left.saturating_sub(read);
        self.step = self.left;
        if let Some(last) = found.last() {
            self.span = self.span.beyond(last.0, self.order);
            self.last = Some(*last);
        }
        Ok(found)
    }

    /// Where the next page begins if this one ends before it is full.
    pub(super) fn searched_to(&self) -> Option<Cursor> {
        self.last.filter(|_| self.has_more).map(Cursor::by_id)
    }
}

/// Compares rows that another index found with a filter by metadata: one lookup per row.
macro_rules! compared_with_entries {
    ($query:expr, $filters:expr, $id:expr) => {{
        let mut query = $query;
        for (kind, filter) in $filters {
            use $crate::db::schema::metadata_entries;
            let entry = metadata_entries::table
                .filter(metadata_entries::kind.eq(kind))
                .filter(metadata_entries::resource_id.eq($id))
                .filter(metadata_entries::key.eq(filter.key().to_owned()))
                .select(metadata_entries::value)
                .single_value();
            query = query.filter($crate::repositories::compared(entry.eq(filter.value().to_owned())));
        }
        query
    }};
}

pub(super) use compared_with_entries;
