//! Refresh tokens and the sessions they carry.

use std::time::Duration;

use super::{
    ApiKeyId, FamilyId, OrganizationId, RefreshTokenId, Revision, Sealed, SecretHash, Timestamp, UserId,
    ip_range::parse_address,
    locked::resource,
    stored::{stored_as_is, words},
    text::is_forbidden,
};

/// One rotation step of one session.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    /// Names it.
    pub id: RefreshTokenId,
    /// Counts its writes.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The session: the id of its first token.
    pub family_id: FamilyId,
    /// Hash of the secret.
    pub token_hash: SecretHash,
    /// The token that this one succeeds.
    pub parent_id: Option<RefreshTokenId>,
    /// What the session began with.
    pub user_agent: Option<UserAgent>,
    /// Where the session began.
    pub ip_address: Option<IpText>,
    /// When it expires unless rotated.
    pub expires_at: Timestamp,
    /// When the session ends, however often rotated.
    pub family_expires_at: Timestamp,
    /// When it was traded for its successor.
    pub rotated_at: Option<Timestamp>,
    /// The successor's secret, while a rotation grace may answer it again.
    pub successor_sealed: Option<Sealed>,
    /// When the session was ended.
    pub revoked_at: Option<Timestamp>,
    /// Why the session was ended.
    pub revoked_reason: Option<RevokedReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The organization that the session is for.
    pub organization_id: Option<OrganizationId>,
    /// The API key that the session was begun with, if that was noted: it goes on with no other.
    pub api_key_id: Option<ApiKeyId>,
}

resource!(RefreshToken);

words! {
    /// Why a session was ended.
    RevokedReason {
        /// RevokeRefreshToken.
        Revoked = "revoked",
        /// RevokeAllRefreshTokens.
        RevokedAll = "revoked_all",
        /// A traded token was presented again.
        Reused = "reused",
    }
}

/// What a new session is made of.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The user.
    pub user_id: UserId,
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
    pub family: Duration,
}

impl NewSession {
    /// The first token of the session, not yet stored.
    pub fn to_refresh_token(
        &self,
        id: RefreshTokenId,
        token_hash: SecretHash,
        api_key_id: Option<ApiKeyId>,
        lifetimes: Lifetimes,
        now: Timestamp,
    ) -> RefreshToken {
        let family_expires_at = now.after(lifetimes.family);
        RefreshToken {
            id,
            revision: 1,
            user_id: self.user_id,
            family_id: FamilyId(id.0),
            token_hash,
            parent_id: None,
            user_agent: self.user_agent.clone(),
            ip_address: self.ip_address.clone(),
            expires_at: now.after(lifetimes.token).min(family_expires_at),
            family_expires_at,
            rotated_at: None,
            successor_sealed: None,
            revoked_at: None,
            revoked_reason: None,
            created_at: now,
            updated_at: now,
            organization_id: self.organization_id,
            api_key_id,
        }
    }
}

impl RefreshToken {
    /// True if whoever presents an API key may go on with the session.
    pub fn goes_on_with(&self, api_key_id: Option<ApiKeyId>) -> bool {
        self.api_key_id.is_none() || self.api_key_id == api_key_id
    }

    /// True until the token, or its session, expires or is revoked.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && now < self.family_expires_at
    }

    /// The token that follows this one, not yet stored. It never outlives the session.
    pub fn successor(&self, id: RefreshTokenId, token_hash: SecretHash, life: Duration, now: Timestamp) -> Self {
        Self {
            id,
            revision: 1,
            token_hash,
            parent_id: Some(self.id),
            expires_at: now.after(life).min(self.family_expires_at),
            rotated_at: None,
            successor_sealed: None,
            created_at: now,
            updated_at: now,
            ..self.clone()
        }
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
