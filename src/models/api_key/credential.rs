//! API keys as they are presented: whether one may be used, and as whom.

use std::{net::IpAddr, sync::Arc};

use super::{ApiKey, KeyPrefix};
use crate::models::{Caller, Presented, Principal, PrincipalId, Scope, SecretHash, Timestamp};

/// A key found by its prefix, with the state of its owner.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The key.
    pub key: ApiKey,
    /// The owner.
    pub principal: Principal,
    /// The state of the owner.
    pub owner: OwnerState,
    /// The principal whose share of the server it uses: see [`Caller::accountable`].
    pub accountable: PrincipalId,
}

/// The state of a key's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Its keys can be used.
    Active,
    /// Its keys cannot be used at present.
    Suspended,
    /// Deleted, and perhaps restorable.
    Deleted,
}

/// A use of a key.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The prefix of the presented secret.
    pub prefix: KeyPrefix,
    /// The address that it was used from, if known.
    pub address: Option<IpAddr>,
    /// The required scope, if any.
    pub scope: Option<&'a Scope>,
}

/// The result of checking a presented key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key may be used.
    Valid,
    /// The secret is not this key's.
    WrongSecret,
    /// Revoked.
    Revoked,
    /// Expired.
    Expired,
    /// Disabled.
    Disabled,
    /// The owner is suspended or deleted.
    OwnerInactive,
    /// Used from an address that is not allowed.
    IpNotAllowed,
    /// Usable, but without the required scope.
    ScopeMissing,
}

impl Credential {
    /// Checks a presented secret and how it is used, at `now`. The secret is compared first, so that a caller without it learns nothing
    /// else.
    pub fn check(&self, presented: &SecretHash, used: &Use<'_>, now: Timestamp) -> Verdict {
        match self.key.secret(&used.prefix) {
            Some((hash, _)) if hash.matches(presented) => self.standing(used, now),
            _ => Verdict::WrongSecret,
        }
    }

    /// Checks a use, at `now`, of a key whose secret was already compared.
    pub fn standing(&self, used: &Use<'_>, now: Timestamp) -> Verdict {
        if self.key.revoked_at.is_some() {
            Verdict::Revoked
        } else if self.key.ends_at(&used.prefix).is_some_and(|ends_at| ends_at <= now) {
            Verdict::Expired
        } else if self.key.disabled_at.is_some() {
            Verdict::Disabled
        } else if self.owner != OwnerState::Active {
            Verdict::OwnerInactive
        } else if !self.key.allowed_ip_ranges.allow(used.address) {
            Verdict::IpNotAllowed
        } else if used.scope.is_some_and(|scope| !self.key.scopes.hold(scope)) {
            Verdict::ScopeMissing
        } else {
            Verdict::Valid
        }
    }

    /// The caller that the secret of a prefix authenticates, without an address.
    pub fn caller(&self, prefix: KeyPrefix) -> Caller {
        Caller {
            presented: Presented::ApiKey { id: self.key.id, prefix },
            address: None,
            principal: self.principal,
            accountable: self.accountable,
            scopes: Arc::new(self.key.scopes.clone()),
            ip_ranges: Arc::new(self.key.allowed_ip_ranges.clone()),
            rate_limit: u32::try_from(self.key.rate_limit).ok().filter(|limit| *limit > 0),
            expires_at: self.key.expires_at,
            ends_at: self.key.ends_at(&prefix),
            is_former_secret: self.key.prefix != prefix,
        }
    }
}
