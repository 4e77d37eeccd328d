//! Sessions on the wire.

use super::time;
use crate::{app::session::IssuedSession, pb};

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
