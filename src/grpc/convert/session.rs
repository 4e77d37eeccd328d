//! Sessions on the wire.

use super::{Listing, Lists, Validation, time};
use crate::{
    app::session::IssuedSession,
    error::Result,
    models::{Session, SessionId, UserId, stored::StoredText as _},
    pb,
};

/// Parses a ListSessions request.
pub fn list(lists: Lists<'_>, request: &pb::ListSessionsRequest) -> Result<Listing<UserId>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let user_id = check.id("user_id", &request.user_id);
    let (Some(page), Some(user_id)) = (page, user_id) else { return Err(check.failed()) };
    Ok(Listing::new(user_id, page))
}

/// Parses a RevokeAllSessions request.
pub fn revoke_all(request: &pb::RevokeAllSessionsRequest) -> Result<(UserId, Option<SessionId>)> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let except = check.optional_id("except_session_id", &request.except_session_id);
    let (Some(user_id), Some(except)) = (user_id, except) else { return Err(check.failed()) };
    Ok((user_id, except))
}

impl From<Session> for pb::Session {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            user_agent: session.user_agent.map(|text| text.as_stored().to_owned()).unwrap_or_default(),
            ip_address: session.ip_address.map(|text| text.as_stored().to_owned()).unwrap_or_default(),
            expires_at: Some(time(session.expires_at)),
            ends_at: Some(time(session.ends_at)),
            created_at: Some(time(session.created_at)),
            organization_id: session.organization_id.map(|id| id.to_string()).unwrap_or_default(),
            refreshed_at: session.refreshed_at.map(time),
            api_key_id: session.api_key_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
}

impl From<IssuedSession> for pb::IssuedSession {
    fn from(issued: IssuedSession) -> Self {
        let access_token_expires_at = issued.access_token.as_ref().map(|token| time(token.expires_at));
        Self {
            session: Some(issued.session.into()),
            plaintext_token: issued.refresh_token.expose().to_owned(),
            access_token: issued.access_token.map(|token| token.text).unwrap_or_default(),
            access_token_expires_at,
        }
    }
}
