//! May you: holds the caller to the rule of the method, or answers PERMISSION_DENIED. What it may touch is decided in the
//! queries.

use http::request::Parts;

use super::{Intercept, access::Access};
use crate::{
    error::{Denial, Error, Result},
    models::Caller,
};

/// Refuses a caller without the method's scope, and one who is no platform admin where the method asks for one.
#[derive(Clone, Copy, Debug)]
pub struct Authorize;

impl Intercept for Authorize {
    async fn before(&self, parts: &mut Parts) -> Result<()> {
        match (parts.extensions.get::<Access>(), parts.extensions.get::<Caller>()) {
            (Some(Access::Public), _) => Ok(()),
            (Some(Access::Scope { scope, .. }), Some(caller)) if !caller.scopes.hold(scope) => {
                Err(Error::Denied(Denial::ScopeMissing(scope.as_str().to_owned())))
            }
            (Some(Access::Scope { platform_admin: true, .. }), Some(caller)) if !caller.is_platform_admin() => {
                Err(Error::Denied(Denial::NotPlatformAdmin))
            }
            (Some(Access::Scope { .. }), Some(_)) => Ok(()),
            // Only a wrong order of the layers leads here.
            (None, _) | (Some(Access::Scope { .. }), None) => Err(Error::internal("a call came without a rule or a caller")),
        }
    }
}
