//! Locked rows.

use std::ops::{Deref, DerefMut};

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
    /// The row, no longer to be written.
    pub fn into_inner(self) -> T {
        self.row
    }

    /// The row as it was when locked, and as it is now.
    pub(in crate::repositories) fn into_before_and_after(self) -> (T, T) {
        (self.before, self.row)
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
