//! Verification of presented API keys: single, in batches and on streams. Calls to this service are authenticated by the same check.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{
    App,
    credentials::{Answer, BOUND, CachedKey},
    guards,
};
use crate::{
    error::Result,
    models::{
        Caller, OrganizationId, OwnerState, Reach, Scope, SecretHash, Timestamp, Use, UserId, Verdict,
        api_key::KeyPrefix,
    },
};

/// A presented key that a caller wants checked, and how it was used.
pub struct VerificationRequest {
    /// The prefix of the key and the hash of its secret. `None` for a malformed key.
    pub presented: Option<(KeyPrefix, SecretHash)>,
    /// A scope that the key must hold.
    pub scope: Option<Scope>,
    /// The address from which the key was used.
    pub address: Option<IpAddr>,
}

/// Verifies keys for a caller.
#[derive(Clone)]
pub struct Verifier {
    app: App,
    caller: Caller,
}

/// The result of a verification.
pub struct Verification {
    /// The verdict and the key. `None` for a key that does not exist or that the caller cannot see.
    pub found: Option<(Verdict, Arc<CachedKey>)>,
    /// Until when the result may be relied on.
    until: Instant,
    /// Whether the result may be relied on longer, until something that it depends on is invalidated.
    pub is_kept: bool,
}

/// Checks a secret presented with the prefix of a cached key, and how the key is used. Notes the use if it is valid.
pub fn check_use(
    app: &App,
    known: &CachedKey,
    secret: &SecretHash,
    address: Option<IpAddr>,
    scope: Option<&Scope>,
) -> Verdict {
    let now = app.now();
    let verdict = known.credential.check(secret, &Use { prefix: known.prefix, address, scope }, now);
    if verdict == Verdict::Valid {
        app.credentials.note_use(known, now);
    }
    verdict
}

/// Refuses a caller whose credential, scope or standing has ended since its stream began.
pub async fn may_still_verify(app: &App, caller: &Caller, scope: &Scope) -> Result<()> {
    let now = app.now();
    app.db.read(async |conn| guards::still_holds(conn, caller, scope, now).await).await
}

/// The wall-clock time of a later instant, where the wall clock reads `now`.
pub fn wall_time(now: Timestamp, instant: Instant) -> Timestamp {
    now.after(instant.saturating_duration_since(Instant::now()))
}

impl Verifier {
    /// A verifier for this caller.
    pub fn new(app: App, caller: Caller) -> Self {
        Self { app, caller }
    }

    /// Verifies a key from the cache. `None` if that needs the database.
    pub fn verify_cached(&self, request: &VerificationRequest) -> Option<Verification> {
        let Some((prefix, secret)) = &request.presented else { return Some(Verification::of_no_key()) };
        let answer = self.app.credentials.cached(prefix)?;
        let Some(known) = answer.found else { return Some(Verification::of_unknown_key(answer.until)) };
        let is_visible = match self.visibility(&known) {
            Visibility::Decided(is_visible) => Answer { found: is_visible, until: answer.until, is_kept: true },
            Visibility::ByStanding(user, organization) => self.app.credentials.cached_standing(user, organization)?,
        };
        let key = Answer { found: known, until: answer.until, is_kept: answer.is_kept };
        Some(self.judge(request, secret, key, &is_visible))
    }

    /// Verifies a key.
    ///
    /// # Errors
    /// [`crate::error::Error::Unavailable`] if the database is needed and cannot be reached.
    pub async fn verify(&self, request: &VerificationRequest) -> Result<Verification> {
        match self.verify_cached(request) {
            Some(verification) => Ok(verification),
            None => Box::pin(self.look_up(request)).await,
        }
    }

    async fn look_up(&self, request: &VerificationRequest) -> Result<Verification> {
        let Some((prefix, secret)) = &request.presented else { return Ok(Verification::of_no_key()) };
        let answer = self.app.credentials.find(prefix).await?;
        let Some(known) = answer.found else { return Ok(Verification::of_unknown_key(answer.until)) };
        let is_visible = match self.visibility(&known) {
            Visibility::Decided(is_visible) => Answer { found: is_visible, until: answer.until, is_kept: true },
            Visibility::ByStanding(user, organization) => self.app.credentials.standing(user, organization).await?,
        };
        let key = Answer { found: known, until: answer.until, is_kept: answer.is_kept };
        Ok(self.judge(request, secret, key, &is_visible))
    }

    /// Whether a key is within the caller's reach.
    fn visibility(&self, known: &CachedKey) -> Visibility {
        let key = &known.credential.key;
        match self.caller.reach() {
            Reach::Everything(_) => Visibility::Decided(true),
            Reach::Organization(_) | Reach::User(_) if known.credential.owner == OwnerState::Deleted => {
                Visibility::Decided(false)
            }
            Reach::Organization(id) => Visibility::Decided(key.organization_id == Some(id)),
            Reach::User(id) => match key.organization_id {
                Some(organization) => Visibility::ByStanding(id, organization),
                None => Visibility::Decided(key.user_id == Some(id)),
            },
        }
    }

    fn judge(
        &self,
        request: &VerificationRequest,
        secret: &SecretHash,
        key: Answer<Arc<CachedKey>>,
        is_visible: &Answer<bool>,
    ) -> Verification {
        let (until, is_kept) = (key.until.min(is_visible.until), key.is_kept && is_visible.is_kept);
        if !is_visible.found {
            return Verification { found: None, until, is_kept };
        }
        let verdict = check_use(&self.app, &key.found, secret, request.address, request.scope.as_ref());
        let found = (verdict != Verdict::WrongSecret).then_some((verdict, key.found));
        Verification { found, until, is_kept }
    }
}

/// Whether a caller sees a key.
enum Visibility {
    /// Decided by the key and its owner.
    Decided(bool),
    /// Decided by whether the user may see the keys of the organization.
    ByStanding(UserId, OrganizationId),
}

impl Verification {
    /// The result for a malformed key.
    fn of_no_key() -> Self {
        Self::of_unknown_key(Instant::now() + BOUND)
    }

    /// The result for a key that does not exist.
    fn of_unknown_key(until: Instant) -> Self {
        Self { found: None, until, is_kept: false }
    }

    /// Until when the result may be cached, at `now`. Never later than the key or the presented secret expires.
    pub fn valid_until(&self, now: Timestamp) -> Timestamp {
        let until = wall_time(now, self.until);
        match &self.found {
            Some((verdict, known)) if *verdict != Verdict::Expired => {
                known.caller.ends_at.map_or(until, |ends_at| until.min(ends_at))
            }
            Some(_) | None => until,
        }
    }

    /// When the key or the presented secret expires.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.found.as_ref().and_then(|(_, known)| known.caller.ends_at)
    }
}
