//! Keyset pagination: a page begins after the last row of the one before, so no row is skipped or repeated.

use uuid::Uuid;

use super::{MetadataFilters, Timestamp};

/// Maximum number of rows that one statement scans for a page of default size. A page of 50 without a match then costs about as much as a
/// full one.
const LOOK: i64 = 1000;
/// The same for rows that are read by their ids, which costs a few times as much.
const LOOK_UP: i64 = 250;
/// Minimum number of rows read at once by their ids.
const BATCH: usize = 16;
/// Maximum number of rows read at once by their ids, as a multiple of all that were read before.
const GROWTH: usize = 4;

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

/// The order of a list by creation time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In creation order.
    #[default]
    OldestFirst,
    /// In reverse.
    NewestFirst,
}

/// A half-open range of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
}

impl Period {
    /// True if it includes every time.
    pub fn is_all(&self) -> bool {
        self.from.is_none() && self.before.is_none()
    }
}

/// A number of rows, counted up to [`Count::MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number; [`Count::MOST`] if there are more.
    pub total: i64,
    /// Whether there are more.
    pub is_more: bool,
}

impl Count {
    /// The greatest number that is counted.
    pub const MOST: i64 = 10_000;

    /// The result of a count that ends one row after [`Count::MOST`].
    pub fn of(counted: i64) -> Self {
        Self { total: counted.min(Self::MOST), is_more: counted > Self::MOST }
    }
}

/// A requested page.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Number of rows, 1 to [`PageRequest::MAX_SIZE`].
    pub size: usize,
    /// The order of the list, if it is by creation time.
    pub order: Order,
    /// When the rows were created.
    pub created: Period,
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

    /// Maximum number of rows that one statement compares with these filters, each of which is a lookup per row.
    pub fn look_with(&self, metadata: &MetadataFilters) -> i64 {
        if metadata.is_any() { self.look_up() } else { self.look() }
    }

    /// Begins to read rows by their ids.
    pub fn parts(&self) -> Parts {
        Parts { limit: self.size.saturating_add(1), read: 0 }
    }

    /// Where the page begins in a list of texts with a prefix, ordered by text and id. No row has the nil id.
    pub fn begin<I: From<Uuid>>(&self, prefix: &str) -> (String, I) {
        match &self.after {
            Some(cursor) => (cursor.text.clone().unwrap_or_default(), I::from(cursor.id)),
            None => (prefix.to_owned(), I::from(Uuid::nil())),
        }
    }

    /// The first page of everything, oldest first.
    pub fn first(size: usize) -> Self {
        Self { size, order: Order::default(), created: Period::default(), after: None }
    }

    /// Maximum number of rows to scan for matches of a filter without an index. A page may therefore end with fewer rows than requested;
    /// the next one continues there.
    pub fn look(&self) -> i64 {
        self.limit().max(LOOK)
    }

    /// As [`PageRequest::look`], for rows that are read by their ids.
    pub fn look_up(&self) -> i64 {
        self.limit().max(LOOK_UP)
    }

    /// Builds the page from the rows of a query with [`PageRequest::limit`]. `cursor` returns the position of a row.
    pub fn page<R, T: From<R>>(&self, rows: Vec<R>, cursor: impl Fn(&R) -> Cursor) -> Page<T> {
        self.page_looked_at(rows, None, cursor)
    }

    /// As [`PageRequest::page`], with the rows that a condition accepts. The next page continues after the last row of all.
    pub fn page_of<R, T: From<R>>(
        &self,
        rows: Vec<R>,
        cursor: impl Fn(&R) -> Cursor,
        is_accepted: impl Fn(&R) -> bool,
    ) -> Page<T> {
        let searched_to = rows.last().filter(|_| rows.len() > self.size).map(&cursor);
        let rows = rows.into_iter().filter(|row| is_accepted(row)).collect();
        self.page_looked_at(rows, searched_to, cursor)
    }

    /// As [`PageRequest::page`], for a query that scanned only up to `searched_to`, if set.
    pub fn page_looked_at<R, T: From<R>>(
        &self,
        mut rows: Vec<R>,
        searched_to: Option<Cursor>,
        cursor: impl Fn(&R) -> Cursor,
    ) -> Page<T> {
        let is_full = rows.len() > self.size;
        rows.truncate(self.size);
        let rows = rows.into_iter().map(|row| (cursor(&row), T::from(row))).collect();
        let searched_to = searched_to.filter(|_| !is_full);
        Page { rows, has_more: is_full || searched_to.is_some(), searched_to }
    }
}

/// Splits the ids of rows that a filter may drop into the parts that are read at once.
#[derive(Debug)]
pub struct Parts {
    limit: usize,
    read: usize,
}

impl Parts {
    /// Takes the next part from `ids`: at first enough for the page, then twice as many as the page would need if as many of them passed the
    /// filter as of those before. `None` if the page is full or no ids are left. `passed` is the number of rows on the page.
    pub fn next<'i, I>(&mut self, ids: &mut &'i [I], passed: usize) -> Option<&'i [I]> {
        let missing = self.limit.checked_sub(passed).filter(|missing| *missing > 0 && !ids.is_empty())?;
        let most = self.read.saturating_mul(GROWTH);
        let size = match self.read {
            0 => self.limit,
            read => (2 * missing).saturating_mul(read).checked_div(passed).unwrap_or(most).min(most),
        };
        let (part, others) = ids.split_at(ids.len().min(size.max(BATCH)));
        *ids = others;
        self.read = self.read.saturating_add(part.len());
        Some(part)
    }
}

impl<T> Page<T> {
    /// The same page of other rows.
    pub fn map<U>(self, row: impl Fn(T) -> U) -> Page<U> {
        let rows = self.rows.into_iter().map(|(cursor, one)| (cursor, row(one))).collect();
        Page { rows, has_more: self.has_more, searched_to: self.searched_to }
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
    pub searched_to: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_parts_by_how_many_passed_the_filter() {
        let ids: Vec<usize> = (0..1000).collect();
        // The sizes of the parts of a page of 50, given how many rows are on the page before each.
        let sizes = |passed: &[usize]| -> Vec<usize> {
            let (mut parts, mut rest) = (PageRequest::first(50).parts(), ids.as_slice());
            passed.iter().filter_map(|passed| parts.next(&mut rest, *passed)).map(<[usize]>::len).collect()
        };
        assert_eq!(sizes(&[0, 0, 0, 0]), [51, 204, 745], "none pass");
        assert_eq!(sizes(&[0, 50, 51]), [51, 16], "nearly all pass");
        assert_eq!(sizes(&[0, 25, 50]), [51, 106, 16], "half of them pass");
        assert_eq!(sizes(&[51]), Vec::<usize>::new(), "the page is full");
        assert_eq!(PageRequest::first(1).parts().next(&mut ids.as_slice(), 0).map(<[usize]>::len), Some(16));
    }
}
