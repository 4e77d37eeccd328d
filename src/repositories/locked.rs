//! Locked rows.

use std::ops::{Deref, DerefMut};

use crate::models::{Resource, Timestamp};

/// A row that the running transaction has found within the caller's reach and locked. Only locking queries of repositories return one,
/// and only a locked row can be saved or removed, so a write that skips the reach does not compile.
#[derive(Debug)]
pub struct Locked<T> {
    row: T,
    before: T,
}

impl<T: Clone> Locked<T> {
    /// Wraps the row of a locking query.
    pub(in crate::repositories) fn new(row: T) -> Self {
        Self { before: row.clone(), row }
    }
}

impl<T> Locked<T> {
    /// The row as it was when locked.
    pub fn before(&self) -> &T {
        &self.before
    }

    /// The row, no longer to be written.
    pub fn into_inner(self) -> T {
        self.row
    }
}

impl<T: Resource> Locked<T> {
    /// Counts a write at `now`, even of a row that is as it was when locked. The row as it was, and as it is to be written.
    pub(in crate::repositories) fn written(mut self, now: Timestamp) -> (T, T) {
        self.row.touch(now);
        (self.before, self.row)
    }
}

impl<T: Resource + PartialEq> Locked<T> {
    /// As [`Locked::written`].
    ///
    /// # Errors
    /// The row, if it is as it was when locked. Then there is nothing to write: no event, no new etag, no new time.
    pub(in crate::repositories) fn changed(self, now: Timestamp) -> Result<(T, T), T> {
        if self.row == self.before { Err(self.row) } else { Ok(self.written(now)) }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.row
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.row
    }
}
