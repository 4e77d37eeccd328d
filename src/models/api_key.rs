//! API keys, and the one check that tells whether a presented key is good.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    ApiKeyId, Caller, IpRanges, JsonObject, Name, OrganizationId, Presented, Principal, PrincipalId, Revision, Scope,
    Scopes, SecretHash, SecretPrefix, Timestamp, UserId,
    locked::resource,
    stored::{StoredText, words},
};

/// A credential for a machine.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Names it.
    pub id: ApiKeyId,
    /// Counts its writes.
    pub revision: Revision,
    /// The owning organization, unless a user owns it.
    pub organization_id: Option<OrganizationId>,
    /// The owning user, unless an organization owns it.
    pub user_id: Option<UserId>,
    /// The user whose key made it.
    pub created_by: Option<UserId>,
    /// True if that user acted as a platform admin, whose name no tenant sees.
    pub by_platform: bool,
    /// What it is called.
    pub name: Name,
    /// The public beginning of the key.
    pub prefix: KeyPrefix,
    /// Hash of the secret.
    pub secret_hash: SecretHash,
    /// The public beginning that it had before the last rotation.
    pub former_prefix: Option<KeyPrefix>,
    /// Hash of the secret before the last rotation.
    pub former_secret_hash: Option<SecretHash>,
    /// When the former secret was made.
    pub former_created_at: Option<Timestamp>,
    /// When the former secret stops.
    pub former_expires_at: Option<Timestamp>,
    /// When it got the secret that it has, if not with the key.
    pub rotated_at: Option<Timestamp>,
    /// From where it may be used.
    pub allowed_ip_ranges: IpRanges,
    /// How many calls a second it may make; 0 for what the server says.
    pub rate_limit: i64,
    /// What it was made for.
    pub scopes: Scopes,
    /// Where it is meant to be used.
    pub environment: Environment,
    /// Free-form.
    pub metadata: JsonObject,
    /// When it stops.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(ApiKey);

/// Most calls a second that a key can be held to.
pub const MAX_RATE_LIMIT: u32 = 1_000_000;

words! {
    /// Where a key is meant to be used. The word is part of the key.
    Environment {
        /// Production.
        Live = "live",
        /// Development and tests.
        Test = "test",
    }
}

/// The public beginning of a key, as `cf_live_3kTMd92LmQ0a`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPrefix {
    /// Those of the text, and zeros after them.
    bytes: [u8; Self::MAX_BYTES],
    length: u8,
}

impl std::fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_stored().fmt(f)
    }
}

impl KeyPrefix {
    /// How long it is at most: what secrets begin with, `_live_`, and 12 characters.
    pub const MAX_BYTES: usize = SecretPrefix::MAX_BYTES + 18;

    /// Takes a text that is not too long, in ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes.get_mut(..text.len()).filter(|_| text.is_ascii())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }
}

impl StoredText for KeyPrefix {
    fn as_stored(&self) -> &str {
        // ASCII since it was made.
        self.bytes.get(..usize::from(self.length)).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    fn from_stored(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("{text:?} is no beginning of a key"))
    }
}

/// Who owns a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyOwner {
    /// An organization.
    Organization(OrganizationId),
    /// A user.
    User(UserId),
}

/// What a new key is made of.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Who will own it.
    pub owner: ApiKeyOwner,
    /// What it is called.
    pub name: Name,
    /// What it is made for.
    pub scopes: Scopes,
    /// Where it is meant to be used.
    pub environment: Environment,
    /// When it stops.
    pub expires_at: Option<Timestamp>,
    /// From where it may be used.
    pub allowed_ip_ranges: IpRanges,
    /// How many calls a second it may make; 0 for what the server says.
    pub rate_limit: i64,
    /// Free-form.
    pub metadata: JsonObject,
}

impl NewApiKey {
    /// The key, not yet stored.
    pub fn to_api_key(
        &self,
        id: ApiKeyId,
        (prefix, secret_hash): (KeyPrefix, SecretHash),
        (created_by, by_platform): (Option<UserId>, bool),
        now: Timestamp,
    ) -> ApiKey {
        let (organization_id, user_id) = match self.owner {
            ApiKeyOwner::Organization(id) => (Some(id), None),
            ApiKeyOwner::User(id) => (None, Some(id)),
        };
        ApiKey {
            id,
            revision: 1,
            organization_id,
            user_id,
            created_by,
            by_platform,
            name: self.name.clone(),
            prefix,
            secret_hash,
            former_prefix: None,
            former_secret_hash: None,
            former_created_at: None,
            former_expires_at: None,
            rotated_at: None,
            allowed_ip_ranges: self.allowed_ip_ranges.clone(),
            rate_limit: self.rate_limit,
            scopes: self.scopes.clone(),
            environment: self.environment,
            metadata: self.metadata.clone(),
            expires_at: self.expires_at,
            revoked_at: None,
            revoked_reason: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What an update writes; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyChanges {
    /// What it is called.
    pub name: Option<Name>,
    /// What it is made for.
    pub scopes: Option<Scopes>,
    /// When it stops, or that it does not.
    pub expires_at: Option<Option<Timestamp>>,
    /// From where it may be used.
    pub allowed_ip_ranges: Option<IpRanges>,
    /// How many calls a second it may make.
    pub rate_limit: Option<i64>,
    /// Free-form.
    pub metadata: Option<JsonObject>,
}

impl ApiKey {
    /// Takes another secret; the one before it works a while longer. One from before that stops.
    pub fn rotate(&mut self, (prefix, secret_hash): (KeyPrefix, SecretHash), overlap: Duration, now: Timestamp) {
        self.former_prefix = Some(std::mem::replace(&mut self.prefix, prefix));
        self.former_secret_hash = Some(std::mem::replace(&mut self.secret_hash, secret_hash));
        self.former_created_at = Some(self.secret_created_at());
        self.former_expires_at = Some(now.after(overlap));
        self.rotated_at = Some(now);
    }

    /// True if the key as it was allowed all that it allows now.
    pub fn covers(&self, after: &Self) -> bool {
        let lasts = match (self.expires_at, after.expires_at) {
            (None, _) => true,
            (Some(before), Some(after)) => after <= before,
            (Some(_), None) => false,
        };
        lasts
            && self.scopes.first_not_held(&after.scopes).is_none()
            && self.allowed_ip_ranges.cover(&after.allowed_ip_ranges)
            && covers_rate(self.rate_limit, after.rate_limit)
    }

    /// True once it has stopped, whatever its secrets are.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// When the secret that it has was made.
    pub fn secret_created_at(&self) -> Timestamp {
        self.rotated_at.unwrap_or(self.created_at)
    }

    /// When the secret of a prefix stops, with the key or before it. `None` if it never does; one that it no longer has, long ago.
    pub fn ends_at(&self, prefix: &KeyPrefix) -> Option<Timestamp> {
        match self.secret(prefix) {
            Some((_, until)) => until.into_iter().chain(self.expires_at).min(),
            None => Some(self.created_at),
        }
    }

    /// The secret of a prefix, and when it stops before the key.
    fn secret(&self, prefix: &KeyPrefix) -> Option<(&SecretHash, Option<Timestamp>)> {
        if self.prefix == *prefix {
            return Some((&self.secret_hash, None));
        }
        let former = self.former_secret_hash.as_ref().filter(|_| self.former_prefix == Some(*prefix))?;
        Some((former, self.former_expires_at))
    }

    /// Writes `changes`.
    pub fn apply(&mut self, changes: ApiKeyChanges) {
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(scopes) = changes.scopes {
            self.scopes = scopes;
        }
        if let Some(expires_at) = changes.expires_at {
            self.expires_at = expires_at;
        }
        if let Some(ranges) = changes.allowed_ip_ranges {
            self.allowed_ip_ranges = ranges;
        }
        if let Some(rate_limit) = changes.rate_limit {
            self.rate_limit = rate_limit;
        }
        if let Some(metadata) = changes.metadata {
            self.metadata = metadata;
        }
    }
}

/// True if a rate allows as many calls as another one; 0 is no rate of its own.
pub fn covers_rate(held: i64, given: i64) -> bool {
    held == 0 || (given != 0 && given <= held)
}

/// Which keys a list holds.
#[derive(Clone, Copy, Debug)]
pub struct ApiKeyFilter {
    /// Of this owner.
    pub owner: ApiKeyOwner,
    /// Also the revoked ones.
    pub include_revoked: bool,
}

/// A key as found by its prefix, with what its owner is at this moment.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The key.
    pub key: ApiKey,
    /// The owner.
    pub principal: Principal,
    /// How the owner stands.
    pub owner: OwnerState,
    /// Whose share of the server it uses: see [`Caller::accountable`].
    pub accountable: PrincipalId,
}

/// How the owner of a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Its keys work.
    Active,
    /// Its keys do not work now.
    Suspended,
    /// It is deleted, and may be restored.
    Deleted,
}

/// How somebody uses a key.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// With which of its secrets.
    pub prefix: KeyPrefix,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
    /// For what, if for anything in particular.
    pub scope: Option<&'a Scope>,
}

/// What a check of a presented key found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Valid,
    /// The secret is not this key's.
    WrongSecret,
    /// Revoked.
    Revoked,
    /// Expired.
    Expired,
    /// The owner is suspended or deleted.
    OwnerInactive,
    /// Used from where it may not be.
    IpNotAllowed,
    /// Good, and without the scope asked for.
    ScopeMissing,
}

impl Credential {
    /// Checks a presented secret and how it is used, at `now`. The secret comes first, so that whoever does not hold it learns nothing
    /// else.
    pub fn check(&self, presented: &SecretHash, used: &Use<'_>, now: Timestamp) -> Verdict {
        match self.key.secret(&used.prefix) {
            Some((hash, _)) if hash.matches(presented) => self.standing(used, now),
            _ => Verdict::WrongSecret,
        }
    }

    /// Checks a key whose secret was presented before and how it is used, at `now`.
    pub fn standing(&self, used: &Use<'_>, now: Timestamp) -> Verdict {
        if self.key.revoked_at.is_some() {
            Verdict::Revoked
        } else if self.key.ends_at(&used.prefix).is_some_and(|ends_at| ends_at <= now) {
            Verdict::Expired
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

    /// Who calls with the secret of a prefix, from wherever.
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
