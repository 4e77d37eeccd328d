//! Keyset pages: a page begins after the last row of the one before, so nothing is skipped or told twice.

use uuid::Uuid;

/// How many rows a page of the usual size looks at, at most. A page of 50 that finds nothing then costs about as much as one
/// that is full.
const LOOK: i64 = 1000;

/// Where a page ends: the sort key of its last row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The text that rows are ordered by before their id; `None` when they are ordered by id alone.
    pub text: Option<String>,
    /// The id of the last row.
    pub id: Uuid,
}

impl Cursor {
    /// The place of a row in a list in order of ids.
    pub fn by_id(id: impl Into<Uuid>) -> Self {
        Self { text: None, id: id.into() }
    }

    /// The place of a row in a list in order of a text and ids.
    pub fn by_text((text, id): (String, impl Into<Uuid>)) -> Self {
        Self { text: Some(text), id: id.into() }
    }
}

/// Which page is wanted.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// How many rows, 1 to [`PageRequest::MAX_SIZE`].
    pub size: usize,
    /// The end of the page before, or `None` for the first page.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// Rows in a page when the caller does not say.
    pub const DEFAULT_SIZE: usize = 50;
    /// Most rows in a page.
    pub const MAX_SIZE: usize = 1000;

    /// How many rows to ask the database for: one more than the page holds tells whether there is a next page.
    pub fn limit(&self) -> i64 {
        i64::try_from(self.size.saturating_add(1)).unwrap_or(i64::MAX)
    }

    /// Where the page begins in a list of what begins with a prefix, in order of a text and ids. No row has the first of all ids.
    pub fn begin<I: From<Uuid>>(&self, prefix: &str) -> (String, I) {
        match &self.after {
            Some(cursor) => (cursor.text.clone().unwrap_or_default(), I::from(cursor.id)),
            None => (prefix.to_owned(), I::from(Uuid::nil())),
        }
    }

    /// How many rows a page looks at, at most, to find those that pass a filter that no index serves. A page that finds
    /// fewer than it asked for ends there, and the next one goes on.
    pub fn look(&self) -> i64 {
        self.limit().max(LOOK)
    }

    /// Makes the page of what the database answered to [`PageRequest::limit`]. `cursor` is where a page ends that ends
    /// with a row.
    pub fn page<R, T: From<R>>(&self, rows: Vec<R>, cursor: impl Fn(&R) -> Cursor) -> Page<T> {
        self.page_looked_at(rows, None, cursor)
    }

    /// As [`PageRequest::page`], of rows that were looked for up to a place only, if one is given.
    pub fn page_looked_at<R, T: From<R>>(
        &self,
        mut rows: Vec<R>,
        looked_to: Option<Cursor>,
        cursor: impl Fn(&R) -> Cursor,
    ) -> Page<T> {
        let is_full = rows.len() > self.size;
        rows.truncate(self.size);
        let rows = rows.into_iter().map(|row| (cursor(&row), T::from(row))).collect();
        let looked_to = looked_to.filter(|_| !is_full);
        Page { rows, has_more: is_full || looked_to.is_some(), looked_to }
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, in the order of the list, each with where a page ends that ends with it.
    pub rows: Vec<(Cursor, T)>,
    /// Whether there may be rows after these.
    pub has_more: bool,
    /// Where the next page begins, if that is not after the last row: no further was looked.
    pub looked_to: Option<Cursor>,
}
