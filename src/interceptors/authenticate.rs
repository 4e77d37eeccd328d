//! Who are you: finds the caller of a presented API key, or answers UNAUTHENTICATED. What the caller may do is decided after.

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::{
    Audit, Intercept,
    access::Access,
    audit::{Seen, remote_address},
};
use crate::{
    context::App,
    error::{Error, Result},
    models::{Action, Actor, Caller, Change, State, Use, Verdict},
    security::token::read_api_key,
};

/// Puts the [`Caller`] into the request of a method that is not public.
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

    /// The caller of the one key in these headers. Every other case has one answer; a known key that is refused leaves an
    /// event for its owner.
    async fn caller(&self, parts: &Parts) -> Result<Caller> {
        let (prefix, hash) = presented(&parts.headers).and_then(read_api_key).ok_or(Error::Unauthenticated)?;
        let known = self.app.credentials.find(&prefix).await?.found.ok_or(Error::Unauthenticated)?;
        let credential = &known.credential;
        let address = remote_address(parts);
        let now = self.app.now();
        if credential.check(&hash, &Use { prefix, address, scope: None }, now) == Verdict::Valid {
            self.app.credentials.note_use(&known, now);
            return Ok(Caller { address, ..known.caller.clone() });
        }
        let actor = Actor::Key { owner: credential.principal, id: credential.key.id };
        let (id, subject) = (credential.key.id, State::from(credential.key.clone()).subject());
        let change = Change::nothing(Action::ApiKeyRejected, subject);
        // Beside the call: how long the answer takes must not tell that the key is known.
        let (audit, origin) = (self.audit.clone(), Seen::of(parts).origin(actor));
        tokio::spawn(async move { audit.refused(origin, id, change, "UNAUTHENTICATED").await });
        Err(Error::Unauthenticated)
    }
}

impl Intercept for Authenticate {
    async fn before(&self, parts: &mut Parts) -> Result<()> {
        if parts.extensions.get::<Access>() == Some(&Access::Public) {
            return Ok(());
        }
        let caller = self.caller(parts).await?;
        parts.extensions.insert(caller);
        Ok(())
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
