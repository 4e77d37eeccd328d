//! Authorization: enforces the access rule of the method, or answers PERMISSION_DENIED. Which resources the caller can reach is decided by
//! the queries.

use http::request::Parts;

use super::{
    Intercept,
    access::{self, Access},
};
use crate::{
    error::{Denial, Error, Result},
    models::Caller,
};

/// Refuses a caller that lacks the method's scope or, where the method requires it, is not a platform admin or has no API key.
#[derive(Clone, Copy, Debug)]
pub struct Authorize;

impl Intercept for Authorize {
    async fn before(&self, parts: &mut Parts) -> Result<()> {
        let Access::Scope { scope, platform_admin, api_key } = &access::method(parts)?.access else { return Ok(()) };
        let caller = parts.extensions.get::<Caller>().ok_or_else(|| Error::internal("a call came without a caller"))?;
        if !caller.scopes.hold(scope) {
            return Err(Error::Denied(Denial::ScopeMissing(scope.as_str().to_owned())));
        }
        if *api_key && caller.session().is_some() {
            return Err(Error::Denied(Denial::ApiKeyRequired));
        }
        if *platform_admin && !caller.is_platform_admin() {
            return Err(Error::Denied(Denial::NotPlatformAdmin));
        }
        Ok(())
    }
}
