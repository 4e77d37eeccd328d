//! What a change is aimed at.

use crate::{
    error::{Error, Result},
    models::Resource,
};

/// A resource to change, and the state that the change was decided on.
#[derive(Debug)]
pub struct Target<Id> {
    /// Its id.
    pub id: Id,
    /// Its etag when the caller read it; empty if the caller does not care.
    pub etag: String,
}

impl<Id> Target<Id> {
    /// Checks that the caller decided on the state that is stored now.
    ///
    /// # Errors
    /// [`Error::EtagMismatch`].
    pub fn check_etag(&self, resource: &impl Resource) -> Result<()> {
        if self.etag.is_empty() || self.etag == resource.etag() { Ok(()) } else { Err(Error::EtagMismatch) }
    }
}
