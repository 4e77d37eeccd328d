//! Sessions, and the refresh tokens that they have one after the other.

use std::{cmp::Ordering, time::Duration};

use super::{
    ApiKeyId, OrganizationId, Revision, Sealed, SessionId, Timestamp, UserId,
    ip_range::parse_address,
    locked::resource,
    stored::{stored_as_is, words},
    text::is_forbidden,
};

const DAY: Duration = Duration::from_hours(24);

/// Counts the refresh tokens of a session, from 1. A session has one current token; those before it are spent.
pub type Generation = i64;

/// A session. However often it is refreshed it stays one row, so that its end is one write.
#[derive(Clone, Debug)]
pub struct Session {
    /// Names it. It stays the same as long as the session lasts.
    pub id: SessionId,
    /// Counts its writes.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The generation of its current token.
    pub generation: Generation,
    /// What its tokens are made with, sealed: a reader of the database can make none.
    pub secret_sealed: Sealed,
    /// True if it began with the user's password, in SignIn.
    pub by_password: bool,
    /// What it began with.
    pub user_agent: Option<UserAgent>,
    /// Where it began.
    pub ip_address: Option<IpText>,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
    /// When it ends, however often it is refreshed.
    pub ends_at: Timestamp,
    /// From when on the sweep removes it: `expires_at`, rounded up to a whole day.
    pub sweep_at: Timestamp,
    /// When it was last refreshed.
    pub refreshed_at: Option<Timestamp>,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
    /// Why it was ended.
    pub revoked_reason: Option<RevokedReason>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The organization that it is for.
    pub organization_id: Option<OrganizationId>,
    /// The API key that it began with: it goes on with no other.
    pub api_key_id: Option<ApiKeyId>,
}

resource!(Session);

words! {
    /// Why a session was ended.
    RevokedReason {
        /// It was ended by itself: by the user, or as one of too many.
        Revoked = "revoked",
        /// All sessions of the user, or of an organization, were ended.
        RevokedAll = "revoked_all",
        /// A spent token was presented again.
        Reused = "reused",
    }
}

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The user.
    pub user_id: UserId,
    /// True if the user has proven its password for it.
    pub by_password: bool,
    /// What it begins with.
    pub user_agent: Option<UserAgent>,
    /// Where it begins.
    pub ip_address: Option<IpText>,
    /// The organization that it is for.
    pub organization_id: Option<OrganizationId>,
}

/// How long tokens and sessions last.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A token that is not rotated.
    pub token: Duration,
    /// A session, from its first token.
    pub session: Duration,
}

/// What a token is of which the session has said that it made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// The current one.
    Current,
    /// The one before the current one, which was traded last.
    Predecessor,
    /// An older one.
    Spent,
    /// One that was not made yet.
    Unknown,
}

impl NewSession {
    /// The session, not yet stored.
    pub fn to_session(
        &self,
        id: SessionId,
        secret_sealed: Sealed,
        api_key_id: Option<ApiKeyId>,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> Session {
        let ends_at = now.after(lifetimes.session);
        let expires_at = now.after(lifetimes.token).min(ends_at);
        Session {
            id,
            revision: 1,
            user_id: self.user_id,
            generation: 1,
            secret_sealed,
            by_password: self.by_password,
            user_agent: self.user_agent.clone(),
            ip_address: self.ip_address.clone(),
            expires_at,
            ends_at,
            sweep_at: sweep_at(expires_at),
            refreshed_at: None,
            revoked_at: None,
            revoked_reason: None,
            created_at: now,
            updated_at: now,
            organization_id: self.organization_id,
            api_key_id,
        }
    }
}

/// When a session that expires at a time is swept: at the end of that day. A database index holds this time, and has to be written
/// where it changes: once a day, however often the session is refreshed.
fn sweep_at(expires_at: Timestamp) -> Timestamp {
    expires_at.floor(DAY).after(DAY)
}

impl Session {
    /// True if whoever presents an API key may go on with the session.
    pub fn goes_on_with(&self, api_key_id: Option<ApiKeyId>) -> bool {
        self.api_key_id.is_none() || self.api_key_id == api_key_id
    }

    /// True until the session expires or is ended.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && now < self.ends_at
    }

    /// What the token of a generation is.
    pub fn state_of(&self, generation: Generation) -> TokenState {
        match generation.cmp(&self.generation) {
            Ordering::Equal => TokenState::Current,
            Ordering::Greater => TokenState::Unknown,
            Ordering::Less if generation.checked_add(1) == Some(self.generation) => TokenState::Predecessor,
            Ordering::Less => TokenState::Spent,
        }
    }

    /// The session once its current token is traded, not yet stored, for an organization from then on. It never outlives its end.
    /// `None` after the last generation that can be counted.
    pub fn refreshed(&self, organization_id: Option<OrganizationId>, life: Duration, now: Timestamp) -> Option<Self> {
        let expires_at = now.after(life).min(self.ends_at);
        Some(Self {
            revision: self.revision.checked_add(1)?,
            generation: self.generation.checked_add(1)?,
            expires_at,
            sweep_at: sweep_at(expires_at),
            refreshed_at: Some(now),
            updated_at: now,
            organization_id,
            ..self.clone()
        })
    }
}

/// A user agent: at most 512 bytes without control characters. It is for information only, so that what a browser sends decides
/// nothing: a longer one is cut, and control characters become spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// Most bytes.
    pub const MAX_BYTES: usize = 512;

    /// Takes a user agent as a browser sent it. `None` for one that says nothing.
    pub fn of(text: &str) -> Option<Self> {
        let cut = text.get(..text.floor_char_boundary(Self::MAX_BYTES)).unwrap_or_default();
        let clean = cut.replace(is_forbidden, " ");
        let clean = clean.trim();
        (!clean.is_empty()).then(|| Self(clean.to_owned()))
    }
}

/// An IPv4 or IPv6 address, in its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpText(String);

impl IpText {
    /// Checks an address, in any form that [`parse_address`] takes.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let address = parse_address(text).ok_or("must be an IPv4 or IPv6 address")?;
        Ok(Self(address.to_canonical().to_string()))
    }
}

stored_as_is!(UserAgent, IpText);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_cut_and_cleaned_and_never_refused() {
        let of = |text: &str| UserAgent::of(text).map(|agent| agent.0);
        assert_eq!(of("a\tb\u{202e}c\0"), Some("a b c".to_owned()));
        assert_eq!(of(&"x".repeat(100_000)), Some("x".repeat(512)));
        assert_eq!(of(&format!("{}é", "x".repeat(511))), Some("x".repeat(511)));
        assert_eq!((of(" \t "), of("")), (None, None));
    }
}
