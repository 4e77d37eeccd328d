//! Refresh tokens on the wire.

use super::{Listing, Lists, Validation, time};
use crate::{
    app::refresh_token::RefreshTokenKey,
    error::{Error, Result},
    models::{
        NewSession, Plaintext, Session, SessionId, UserId,
        refresh_token::{IpText, UserAgent},
        stored::StoredText as _,
    },
    pb::{self, revoke_refresh_token_request::Key},
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

/// Parses a ListRefreshTokens request.
pub fn list(lists: Lists<'_>, request: &pb::ListRefreshTokensRequest) -> Result<Listing<UserId>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let user_id = check.id("user_id", &request.user_id);
    let (Some(page), Some(user_id)) = (page, user_id) else { return Err(check.failed()) };
    Ok(Listing::new(user_id, page))
}

/// Parses a RotateRefreshToken request.
///
/// # Errors
/// [`Error::Invalid`] for an empty token; its validity is checked later.
pub fn rotate(request: pb::RotateRefreshTokenRequest) -> Result<Plaintext> {
    required("plaintext_token", request.plaintext_token)
}

/// Parses a RevokeRefreshToken request.
pub fn revoke(request: pb::RevokeRefreshTokenRequest) -> Result<RefreshTokenKey> {
    match request.key {
        None => Err(Error::invalid("key", "must be refresh_token_id or plaintext_token")),
        Some(Key::RefreshTokenId(id)) => super::id_of("refresh_token_id", &id).map(RefreshTokenKey::Id),
        Some(Key::PlaintextToken(secret)) => required("plaintext_token", secret).map(RefreshTokenKey::Secret),
    }
}

/// Parses a RevokeAllRefreshTokens request.
pub fn revoke_all(request: &pb::RevokeAllRefreshTokensRequest) -> Result<(UserId, Option<SessionId>)> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let except = check.optional_id("except_family_id", &request.except_family_id);
    let (Some(user_id), Some(except)) = (user_id, except) else { return Err(check.failed()) };
    Ok((user_id, except))
}

pub(super) fn required(field: &str, secret: String) -> Result<Plaintext> {
    let secret = Plaintext::new(secret);
    if secret.expose().is_empty() { Err(Error::invalid(field, "must not be empty")) } else { Ok(secret) }
}

impl From<Session> for pb::RefreshToken {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            user_agent: session.user_agent.map(|text| text.as_stored().to_owned()).unwrap_or_default(),
            ip_address: session.ip_address.map(|text| text.as_stored().to_owned()).unwrap_or_default(),
            expires_at: Some(time(session.expires_at)),
            family_expires_at: Some(time(session.family_expires_at)),
            created_at: Some(time(session.created_at)),
            organization_id: session.organization_id.map(|id| id.to_string()).unwrap_or_default(),
            rotated_at: session.rotated_at.map(time),
            api_key_id: session.api_key_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}
