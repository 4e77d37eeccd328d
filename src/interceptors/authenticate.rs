//! Who are you: finds the caller of a presented API key or access token, or answers UNAUTHENTICATED. What the caller may do is decided
//! after.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::{
    Audit,
    audit::{Seen, remote_address},
};
use crate::{
    app::{App, shares::Share, verification::check_use},
    error::{Error, Result},
    models::{Action, Actor, Caller, Change, Presented, SessionId, State, Timestamp, UserId, Verdict},
};

/// Finds out who calls.
#[derive(Clone)]
pub struct Authenticate {
    app: App,
    audit: Audit,
}

impl Authenticate {
    /// Looks keys up in an application.
    pub fn new(app: App, audit: Audit) -> Self {
        Self { app, audit }
    }

    /// Puts the [`Caller`] into the request of a method that is not public, and tells whose share the call uses.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub(super) async fn identify(&self, parts: &mut Parts) -> Result<Arc<Share>> {
        let (caller, share) = self.caller(parts).await?;
        parts.extensions.insert(caller);
        Ok(share)
    }

    /// The caller of the one credential in these headers. Every other case has one answer; a known key that is refused leaves an
    /// event for its owner.
    async fn caller(&self, parts: &Parts) -> Result<(Caller, Arc<Share>)> {
        let Some(presented) = presented(&parts.headers) else { return Err(self.failed("missing")) };
        // What an encoded JSON object begins with, and no key does.
        if presented.starts_with("ey") {
            return Box::pin(self.signed_in(presented, parts)).await;
        }
        let Some((prefix, hash)) = self.app.secrets.read_api_key(presented) else {
            return Err(self.failed("malformed"));
        };
        let Some(known) = self.app.credentials.find(&prefix).await?.found else {
            return Err(self.failed("unknown_api_key"));
        };
        let credential = &known.credential;
        let address = remote_address(parts);
        if check_use(&self.app, &known, &hash, address, None) == Verdict::Valid {
            return Ok((Caller { address, ..known.caller.clone() }, Arc::clone(&known.share)));
        }
        let presented = Presented::ApiKey { id: credential.key.id, prefix };
        let actor = Actor::Caller { owner: credential.principal, presented };
        let (id, subject) = (presented.id(), State::from(credential.key.clone()).subject());
        let change = Change::nothing(Action::ApiKeyRejected, subject);
        // Beside the call: how long the answer takes must not tell that the key is known.
        let (audit, origin) = (self.audit.clone(), Seen::of(parts).origin(actor));
        let accountable = credential.accountable;
        tokio::spawn(async move { audit.refused(origin, accountable, id, change, "UNAUTHENTICATED").await });
        Err(self.failed("refused_api_key"))
    }

    /// Counts a credential that is none.
    fn failed(&self, class: &'static str) -> Error {
        self.app.attempts.failed(class);
        Error::Unauthenticated
    }

    /// The user of an access token, if it is good, its session goes on and the user is active: looked up with every call.
    async fn signed_in(&self, token: &str, parts: &Parts) -> Result<(Caller, Arc<Share>)> {
        let now = self.app.now();
        let refused = || self.failed("access_token");
        let claims = self.app.signing_keys.verify(token, now).await?.ok_or_else(refused)?;
        let (user, session) = (UserId(claims.sub), SessionId(claims.sid));
        let ends_at = self.app.db.read(async |conn| conn.sessions().standing(user, session, now).await).await?;
        let ends_at = ends_at.ok_or_else(refused)?;
        let token_ends_at = claims.exp.checked_mul(1_000_000).and_then(Timestamp::from_micros).unwrap_or(now);
        let caller = Caller::of_session(session, user, ends_at, token_ends_at);
        let share = self.app.shares.of(caller.accountable);
        Ok((Caller { address: remote_address(parts), ..caller }, share))
    }
}

/// The text after `Bearer` of the only authorization header. Two headers are as good as none: whoever looked at the other
/// one would have seen somebody else.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}
