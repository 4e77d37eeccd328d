//! Refresh tokens on the wire.

use super::Validation;
use crate::{
    error::{Error, Result},
    models::{
        NewSession, Plaintext,
        session::{IpText, UserAgent},
    },
    pb,
};

/// Parses a CreateRefreshToken request.
pub fn create(request: &pb::CreateRefreshTokenRequest) -> Result<NewSession> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let user_agent = UserAgent::of(&request.user_agent);
    let ip_address = check.optional("ip_address", &request.ip_address, IpText::parse);
    let (Some(user_id), Some(ip_address)) = (user_id, ip_address) else {
        return Err(check.failed());
    };
    Ok(NewSession { user_id, by_password: false, user_agent, ip_address, organization_id: None })
}

/// Parses a RotateRefreshToken request.
///
/// # Errors
/// [`Error::Invalid`] for an empty token; its validity is checked later.
pub fn rotate(request: pb::RotateRefreshTokenRequest) -> Result<Plaintext> {
    required("plaintext_token", request.plaintext_token)
}

/// Reads a RevokeRefreshToken.
///
/// # Errors
/// [`Error::Invalid`] for an empty token; whether a token is valid is checked later.
pub fn revoke(request: pb::RevokeRefreshTokenRequest) -> Result<Plaintext> {
    required("plaintext_token", request.plaintext_token)
}

pub(super) fn required(field: &str, secret: String) -> Result<Plaintext> {
    let secret = Plaintext::new(secret);
    if secret.expose().is_empty() { Err(Error::invalid(field, "must not be empty")) } else { Ok(secret) }
}
