//! Keyset pagination: a page begins after the last row of the one before, so no row is skipped or repeated.

use uuid::Uuid;

/// Maximum number of rows scanned for a page of default size. A page of 50 without a match then costs about as much as a full one.
const LOOK: i64 = 1000;

/// Where a page ends: the sort key of its last row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The text that rows are ordered by before their id; `None` if they are ordered by id alone.
    pub text: Option<String>,
    /// The id of the last row.
    pub id: Uuid,
}

impl Cursor {
    /// The position of a row in a list ordered by id.
    pub fn by_id(id: impl Into<Uuid>) -> Self {
        Self { text: None, id: id.into() }
    }

    /// The position of a row in a list ordered by a text and id.
    pub fn by_text((text, id): (String, impl Into<Uuid>)) -> Self {
        Self { text: Some(text), id: id.into() }
    }
}

/// A requested page.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Number of rows, 1 to [`PageRequest::MAX_SIZE`].
    pub size: usize,
    /// The end of the page before; `None` for the first page.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// Number of rows if the caller does not specify any.
    pub const DEFAULT_SIZE: usize = 50;
    /// Maximum number of rows.
    pub const MAX_SIZE: usize = 1000;

    /// Number of rows to query: one more than the page holds, to detect a next page.
    pub fn limit(&self) -> i64 {
        i64::try_from(self.size.saturating_add(1)).unwrap_or(i64::MAX)
    }

    /// Where the page begins in a list of texts with a prefix, ordered by text and id. No row has the nil id.
    pub fn begin<I: From<Uuid>>(&self, prefix: &str) -> (String, I) {
        match &self.after {
            Some(cursor) => (cursor.text.clone().unwrap_or_default(), I::from(cursor.id)),
            None => (prefix.to_owned(), I::from(Uuid::nil())),
        }
    }

    /// Maximum number of rows to scan for matches of a filter without an index. A page may therefore end with fewer rows than requested;
    /// the next one continues there.
    pub fn look(&self) -> i64 {
        self.limit().max(LOOK)
    }

    /// Builds the page from the rows of a query with [`PageRequest::limit`]. `cursor` returns the position of a row.
    pub fn page<R, T: From<R>>(&self, rows: Vec<R>, cursor: impl Fn(&R) -> Cursor) -> Page<T> {
        self.page_looked_at(rows, None, cursor)
    }

    /// As [`PageRequest::page`], for a query that scanned only up to `looked_to`, if set.
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

impl<T> Page<T> {
    /// The same page of other rows.
    pub fn map<U>(self, row: impl Fn(T) -> U) -> Page<U> {
        let rows = self.rows.into_iter().map(|(cursor, one)| (cursor, row(one))).collect();
        Page { rows, has_more: self.has_more, looked_to: self.looked_to }
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows in order, each with its position.
    pub rows: Vec<(Cursor, T)>,
    /// Whether there may be more rows.
    pub has_more: bool,
    /// Where the next page begins, if that is not after the last row: the scan ended there.
    pub looked_to: Option<Cursor>,
}
