//! A credential of a user that a request shows beside the caller's own: an access token of a live session.

use crate::{
    app::App,
    db::Conn,
    error::Result,
    models::{Caller, SessionId, Timestamp, User, UserId},
};

/// Whose account somebody has shown to hold.
pub(super) struct Shown {
    session: Option<(UserId, SessionId)>,
    caller: Option<UserId>,
}

impl Shown {
    /// Reads what a request shows. A text that is no good access token shows nothing.
    pub(super) async fn read(app: &App, caller: &Caller, access_token: &str, now: Timestamp) -> Result<Self> {
        let claims = match access_token {
            "" => None,
            token => app.signing_keys.verify(token, now).await?,
        };
        let session = claims.map(|claims| (UserId(claims.sub), SessionId(claims.sid)));
        // A platform admin acts for others: its key shows nothing of their accounts.
        let caller = caller.user_id().filter(|_| !caller.is_platform_admin());
        Ok(Self { session, caller })
    }

    /// True if it is a credential of this user, as things are now.
    pub(super) async fn is_of(&self, tx: &mut Conn, user: &User, now: Timestamp) -> Result<bool> {
        if self.caller == Some(user.id) {
            return Ok(true);
        }
        match self.session {
            Some((owner, session)) if owner == user.id => {
                Ok(tx.refresh_tokens().standing(owner, session, now).await?.is_some())
            }
            _ => Ok(false),
        }
    }
}
