//! The resource that a change applies to.

use crate::{
    error::{Error, Result},
    models::Resource,
};

/// A resource to change, and the state that the caller has seen.
#[derive(Debug)]
pub struct Target<Id> {
    /// Its id.
    pub id: Id,
    /// Its etag when the caller read it; empty to skip the check.
    pub etag: String,
}

impl<Id> Target<Id> {
    /// Checks that the stored state is the one that the caller has seen.
    ///
    /// # Errors
    /// [`Error::EtagMismatch`].
    pub fn check_etag(&self, resource: &impl Resource) -> Result<()> {
        if self.etag.is_empty() || self.etag == resource.etag() { Ok(()) } else { Err(Error::EtagMismatch) }
    }
}
