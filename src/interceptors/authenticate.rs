//! Authentication: finds the caller by its API key or access token, or answers UNAUTHENTICATED. What the caller may do is decided later.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::{
    Audit,
    audit::{CallInfo, remote_address},
};
use crate::{
    app::{App, shares::Share, verification::check_use},
    error::{Error, Result},
    models::{Action, Actor, Caller, Change, Presented, SessionId, State, Timestamp, UserId, Verdict},
};

/// Finds the caller of a call.
#[derive(Clone)]
pub struct Authenticate {
    app: App,
    audit: Audit,
}

impl Authenticate {
    /// Looks keys up in this application.
    pub fn new(app: App, audit: Audit) -> Self {
        Self { app, audit }
    }

    /// Adds the [`Caller`] to the request of a method that is not public, and returns the share that the call counts towards.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub(super) async fn identify(&self, parts: &mut Parts) -> Result<Arc<Share>> {
        let (caller, share) = self.caller(parts).await?;
        parts.extensions.insert(caller);
        Ok(share)
    }

    /// The caller of the only credential in these headers. All failures have the same answer; the refusal of a known key also records an
    /// event for its owner.
    async fn caller(&self, parts: &Parts) -> Result<(Caller, Arc<Share>)> {
        let Some(presented) = presented(&parts.headers) else { return Err(self.failed("missing")) };
        // The beginning of an encoded JSON object, with which no key begins.
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
        // In a separate task: the response time must not reveal that the key is known.
        let (audit, origin) = (self.audit.clone(), CallInfo::of(parts).origin(actor));
        let accountable = credential.accountable;
        tokio::spawn(async move { audit.refused(origin, accountable, id, change, "UNAUTHENTICATED").await });
        Err(self.failed("refused_api_key"))
    }

    /// Counts an invalid credential.
    fn failed(&self, class: &'static str) -> Error {
        self.app.attempts.failed(class);
        Error::Unauthenticated
    }

    /// The user of an access token, if the token is valid, its session has not ended and the user is active. Looked up on every call.
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

/// The text after `Bearer` in the only authorization header. Two headers are treated as none: another component might have used the other
/// one and seen a different caller.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}
