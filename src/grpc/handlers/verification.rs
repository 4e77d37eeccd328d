//! Whether a presented API key is good, for whoever asks: one by one, in batches, and on streams.

use std::{sync::Arc, time::Instant};

use crate::{
    app::{
        App,
        credentials::{Answer, BOUND, Known},
    },
    error::Result,
    grpc::convert::{self, api_key::Question},
    models::{Caller, OrganizationId, OwnerState, Reach, Timestamp, Use, UserId, Verdict},
    pb,
};

/// Answers the questions of a caller.
#[derive(Clone)]
pub(super) struct Verifier {
    app: App,
    caller: Caller,
}

/// What was found of a presented key.
pub(super) struct Verification {
    /// The verdict, and the key that it is about; `None` for one that does not exist for the caller.
    pub(super) found: Option<(Verdict, Arc<Known>)>,
    /// Until when it may be relied on.
    until: Instant,
    /// Whether it may be relied on longer as long as nothing that it rests on is forgotten.
    pub(super) is_kept: bool,
}

impl Verifier {
    pub(super) fn new(app: App, caller: Caller) -> Self {
        Self { app, caller }
    }

    /// The answer, if it takes no look at the database.
    pub(super) fn at_hand(&self, question: &Question) -> Option<Verification> {
        let Some((prefix, _)) = &question.presented else { return Some(Verification::of_nothing()) };
        let answer = self.app.credentials.at_hand(prefix)?;
        let Some(known) = &answer.found else { return Some(self.judge(question, answer, None)) };
        let sees = match self.sees(known) {
            Sees::Said(sees) => Answer { found: sees, until: answer.until, is_kept: true },
            Sees::IfHeldIn(user, organization) => self.app.credentials.standing_at_hand(user, organization)?,
        };
        Some(self.judge(question, answer, Some(sees)))
    }

    /// The answer.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub(super) async fn verify(&self, question: &Question) -> Result<Verification> {
        match self.at_hand(question) {
            Some(verification) => Ok(verification),
            None => Box::pin(self.look_up(question)).await,
        }
    }

    async fn look_up(&self, question: &Question) -> Result<Verification> {
        let Some((prefix, _)) = &question.presented else { return Ok(Verification::of_nothing()) };
        let answer = self.app.credentials.find(prefix).await?;
        let Some(known) = &answer.found else { return Ok(self.judge(question, answer, None)) };
        let sees = match self.sees(known) {
            Sees::Said(sees) => Answer { found: sees, until: answer.until, is_kept: true },
            Sees::IfHeldIn(user, organization) => self.app.credentials.standing(user, organization).await?,
        };
        Ok(self.judge(question, answer, Some(sees)))
    }

    /// Whether a key is within the caller's reach.
    fn sees(&self, known: &Known) -> Sees {
        let key = &known.credential.key;
        match self.caller.reach() {
            Reach::Everything => Sees::Said(true),
            Reach::Organization(_) | Reach::User(_) if known.credential.owner == OwnerState::Deleted => {
                Sees::Said(false)
            }
            Reach::Organization(id) => Sees::Said(key.organization_id == Some(id)),
            Reach::User(id) => match key.organization_id {
                Some(organization) => Sees::IfHeldIn(id, organization),
                None => Sees::Said(key.user_id == Some(id)),
            },
        }
    }

    fn judge(
        &self,
        question: &Question,
        answer: Answer<Option<Arc<Known>>>,
        sees: Option<Answer<bool>>,
    ) -> Verification {
        let (Some(known), Some(sees), Some((_, hash))) = (answer.found, sees, &question.presented) else {
            return Verification { found: None, until: answer.until, is_kept: false };
        };
        let now = self.app.now();
        let used = Use { prefix: known.prefix, address: question.address, scope: question.scope.as_ref() };
        let verdict = known.credential.check(hash, &used, now);
        if sees.found && verdict == Verdict::Valid {
            self.app.credentials.note_use(&known, now);
        }
        let found = (sees.found && verdict != Verdict::WrongSecret).then_some((verdict, known));
        Verification { found, until: answer.until.min(sees.until), is_kept: answer.is_kept && sees.is_kept }
    }

    /// The answer on the wire.
    pub(super) fn wire(&self, verification: &Verification) -> pb::ApiKeyVerification {
        let (verdict, known) = match &verification.found {
            None => (pb::ApiKeyVerdict::Unknown, None),
            Some((verdict, known)) => (wire_verdict(*verdict), Some(known)),
        };
        let ends = known.and_then(|known| known.caller.ends_at).filter(|_| verdict != pb::ApiKeyVerdict::Expired);
        let until = valid_until(self.app.now(), verification.until);
        let until = ends.map_or(until, |ends| until.min(ends));
        pb::ApiKeyVerification {
            verdict: verdict.into(),
            api_key: known.map(|known| known.encoded.clone()).unwrap_or_default(),
            valid_until: Some(convert::time(until)),
            ends_at: known.and_then(|known| known.caller.ends_at).map(convert::time),
        }
    }
}

/// A moment ahead, on the clock that callers have.
pub(super) fn valid_until(now: Timestamp, until: Instant) -> Timestamp {
    now.after(until.saturating_duration_since(Instant::now()))
}

/// Whether somebody sees a key.
enum Sees {
    /// It is said.
    Said(bool),
    /// If the user may see the keys of the organization.
    IfHeldIn(UserId, OrganizationId),
}

impl Verification {
    /// Of a text that no key ever looked like.
    fn of_nothing() -> Self {
        Self { found: None, until: Instant::now() + BOUND, is_kept: false }
    }
}

fn wire_verdict(verdict: Verdict) -> pb::ApiKeyVerdict {
    match verdict {
        Verdict::WrongSecret => pb::ApiKeyVerdict::Unknown,
        Verdict::Valid => pb::ApiKeyVerdict::Valid,
        Verdict::Revoked => pb::ApiKeyVerdict::Revoked,
        Verdict::Expired => pb::ApiKeyVerdict::Expired,
        Verdict::OwnerInactive => pb::ApiKeyVerdict::OwnerInactive,
        Verdict::IpNotAllowed => pb::ApiKeyVerdict::IpNotAllowed,
        Verdict::ScopeMissing => pb::ApiKeyVerdict::ScopeMissing,
    }
}
