//! Rows that a transaction has locked, and what every resource has in common.

use std::ops::{Deref, DerefMut};

use super::Timestamp;

/// Counts the writes of a row. It is what an etag shows.
pub type Revision = i64;

/// What every resource has: a revision and the time of its last write.
pub trait Resource {
    /// How often the row was written.
    fn revision(&self) -> Revision;

    /// Marks one more write at `now`.
    fn touch(&mut self, now: Timestamp);

    /// The etag of this state.
    fn etag(&self) -> String {
        format!("r{}", self.revision())
    }
}

/// Gives a model that has `revision` and `updated_at` its [`Resource`].
macro_rules! resource {
    ($model:ty) => {
        impl $crate::models::Resource for $model {
            fn revision(&self) -> $crate::models::Revision {
                self.revision
            }

            fn touch(&mut self, now: $crate::models::Timestamp) {
                self.revision += 1;
                self.updated_at = now;
            }
        }
    };
}

pub(crate) use resource;

/// A row that the running transaction has found within the caller's reach and locked. Only the repositories' `lock`
/// makes one, and only a locked row can be saved or removed: a write that forgets the reach does not compile.
#[derive(Debug)]
pub struct Locked<T> {
    row: T,
    before: T,
}

impl<T: Clone> Locked<T> {
    /// Takes what a locking query has found.
    pub(crate) fn new(row: T) -> Self {
        Self { before: row.clone(), row }
    }
}

impl<T> Locked<T> {
    /// The row, no longer to be written.
    pub fn into_inner(self) -> T {
        self.row
    }

    /// The row as it was locked, and as it is now.
    pub(crate) fn into_before_and_after(self) -> (T, T) {
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
