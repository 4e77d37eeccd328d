//! Sessions and their refresh tokens.

use std::{cmp::Ordering, time::Duration};

use super::{
    ApiKeyId, OrganizationId, Revision, Sealed, SessionId, Timestamp, UserId,
    characters::{is_forbidden, is_invisible},
    ip_range::parse_address,
    resource::resource,
    stored::{stored_as_is, words},
};

const DAY: Duration = Duration::from_hours(24);

/// Numbers the refresh tokens of a session, from 1. A session has one current token; those before it are spent.
pub type Generation = i64;

/// A session. It stays one row however often it is refreshed, so that ending it is one write.
#[derive(Clone, Debug)]
pub struct Session {
    /// The id. It stays the same for the life of the session.
    pub id: SessionId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The generation of its current token.
    pub generation: Generation,
    /// The secret that its tokens are derived from, sealed: a reader of the database cannot derive any.
    pub secret_sealed: Sealed,
    /// True if it began with the user's password, in SignIn.
    pub by_password: bool,
    /// The client that it began with.
    pub user_agent: Option<UserAgent>,
    /// The address that it began at.
    pub ip_address: Option<IpText>,
    /// When it expires unless it is refreshed.
    pub expires_at: Timestamp,
    /// When it expires, however often it is refreshed.
    pub ends_at: Timestamp,
    /// When the sweep may remove it: `expires_at`, rounded up to a whole day.
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
    /// The organization that it is for, if any.
    pub organization_id: Option<OrganizationId>,
    /// The API key that it began with, the only one that can refresh it.
    pub api_key_id: Option<ApiKeyId>,
}

resource!(Session);

words! {
    /// Why a session ended.
    RevokedReason {
        /// It was ended alone: by the user, or to stay within the limit.
        Revoked = "revoked",
        /// All sessions of the user, or of an organization, were ended.
        RevokedAll = "revoked_all",
        /// A spent token was presented again.
        Reused = "reused",
    }
}

/// A session to create.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The user.
    pub user_id: UserId,
    /// True if the user has proven the password.
    pub by_password: bool,
    /// The client that it begins with.
    pub user_agent: Option<UserAgent>,
    /// The address that it begins at.
    pub ip_address: Option<IpText>,
    /// The organization that it is for, if any.
    pub organization_id: Option<OrganizationId>,
}

/// Lifetimes of refresh tokens and sessions.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of a token, until it is refreshed.
    pub token: Duration,
    /// Of a session, from its first token.
    pub session: Duration,
}

/// The state of a token, by its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// The current one.
    Current,
    /// The one before the current one, which was exchanged for it.
    Predecessor,
    /// An older one.
    Spent,
    /// One that was not issued yet.
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

/// When a session that expires at a time is swept: at the end of that day. This time is indexed, so it must change rarely: once a day,
/// however often the session is refreshed.
fn sweep_at(expires_at: Timestamp) -> Timestamp {
    expires_at.floor(DAY).after(DAY)
}

impl Session {
    /// True if a caller with this API key may continue the session.
    pub fn can_be_refreshed_by(&self, api_key_id: Option<ApiKeyId>) -> bool {
        self.api_key_id.is_none() || self.api_key_id == api_key_id
    }

    /// True until the session expires or is ended.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && now < self.ends_at
    }

    /// The state of the token of a generation.
    pub fn state_of(&self, generation: Generation) -> TokenState {
        match generation.cmp(&self.generation) {
            Ordering::Equal => TokenState::Current,
            Ordering::Greater => TokenState::Unknown,
            Ordering::Less if generation.checked_add(1) == Some(self.generation) => TokenState::Predecessor,
            Ordering::Less => TokenState::Spent,
        }
    }

    /// The session after its current token is exchanged, not yet stored, for `organization_id` from then on. Never extends
    /// `ends_at`. `None` if the generation overflows.
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

/// A user agent: at most 512 bytes without control characters. Informational only, so it is never refused: a longer one is cut, and
/// control characters become spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// Maximum size in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Sanitizes a user agent as a browser sent it. `None` if nothing is left.
    pub fn of(text: &str) -> Option<Self> {
        let cut = text.get(..text.floor_char_boundary(Self::MAX_BYTES)).unwrap_or_default();
        let clean = cut.replace(|c| is_forbidden(c) || is_invisible(c), " ");
        let clean = clean.trim();
        (!clean.is_empty()).then(|| Self(clean.to_owned()))
    }
}

/// An IPv4 or IPv6 address, in canonical text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpText(String);

impl IpText {
    /// Parses an address in any form that [`parse_address`] accepts.
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
