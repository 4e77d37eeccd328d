//! The common part of all resources.

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
