//! Locked rows, and what all resources have in common.

use std::ops::{Deref, DerefMut};

use super::Timestamp;

/// Counts the writes of a row. The etag shows it.
pub type Revision = i64;

/// The common part of resources: a revision and the time of the last write.
pub trait Resource {
    /// The number of writes.
    fn revision(&self) -> Revision;

    /// Counts one more write, at `now`.
    fn touch(&mut self, now: Timestamp);

    /// The etag of this state.
    fn etag(&self) -> String {
        format!("r{}", self.revision())
    }
}

/// Implements [`Resource`] for a model with `revision` and `updated_at`.
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

/// A row that the running transaction has found within the caller's reach and locked. Only locking queries of repositories return one,
/// and only a locked row can be saved or removed, so a write that skips the reach does not compile.
#[derive(Debug)]
pub struct Locked<T> {
    row: T,
    before: T,
}

impl<T: Clone> Locked<T> {
    /// Wraps the row of a locking query.
    pub(crate) fn new(row: T) -> Self {
        Self { before: row.clone(), row }
    }
}

impl<T> Locked<T> {
    /// The row, no longer to be written.
    pub fn into_inner(self) -> T {
        self.row
    }

    /// The row as it was when locked, and as it is now.
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
