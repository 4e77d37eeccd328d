//! A second credential in a request, next to the caller's own: an access token of a live session.

use crate::{
    app::{App, guards},
    db::Conn,
    error::Result,
    models::{Caller, SessionId, Timestamp, User, UserId},
    repositories::Locked,
};

/// The users for whose accounts a request has shown a credential.
pub(super) struct PresentedCredentials {
    session: Option<(UserId, SessionId)>,
    caller: Option<UserId>,
}

impl PresentedCredentials {
    /// Reads the credentials of a request. An invalid access token is treated as absent.
    pub(super) async fn read(app: &App, caller: &Caller, access_token: &str, now: Timestamp) -> Result<Self> {
        let claims = match access_token {
            "" => None,
            token => app.signing_keys.verify(token, now).await?,
        };
        let session = claims.map(|claims| (UserId(claims.sub), SessionId(claims.sid)));
        // A platform admin acts for others, so its own credential does not count.
        let caller = caller.user_id().filter(|_| !caller.is_platform_admin());
        Ok(Self { session, caller })
    }

    /// Refuses an account with credentials, which may be a stranger's, if the request has shown none of them.
    pub(super) async fn open(&self, tx: &mut Conn, user: &Locked<User>, now: Timestamp) -> Result<()> {
        if self.is_of(tx, user, now).await? || !tx.users().has_credentials(user, now).await? {
            Ok(())
        } else {
            Err(guards::credential_required())
        }
    }

    /// True if one of the credentials is this user's, and its session is still live.
    pub(super) async fn is_of(&self, tx: &mut Conn, user: &User, now: Timestamp) -> Result<bool> {
        if self.caller == Some(user.id) {
            return Ok(true);
        }
        match self.session {
            Some((owner, session)) if owner == user.id => {
                Ok(tx.sessions().standing(owner, session, now).await?.is_some())
            }
            _ => Ok(false),
        }
    }
}
