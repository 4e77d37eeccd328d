//! API keys.

mod credential;

use std::time::Duration;

pub use credential::{Credential, OwnerState, Use, Verdict};

use super::{
    ApiKeyId, Fragment, IpRanges, JsonChanges, JsonObject, MetadataMatch, Name, OrganizationId, Period, Revision,
    Scopes, SecretHash, SecretPrefix, Timestamp, UserId,
    json::Overflow,
    resource::resource,
    stored::{StoredText, words},
};

/// A credential for a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// The id.
    pub id: ApiKeyId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The owning organization, unless a user owns it.
    pub organization_id: Option<OrganizationId>,
    /// The owning user, unless an organization owns it.
    pub user_id: Option<UserId>,
    /// The user who created it.
    pub created_by: Option<UserId>,
    /// True if that user acted as a platform admin, whose name is hidden from tenants.
    pub by_platform: bool,
    /// The user from whose account it descends: who created it, or created the key that created it, and so on. Never a platform admin who
    /// acted as one.
    pub source_user_id: Option<UserId>,
    /// The display name.
    pub name: Name,
    /// The public prefix of the key.
    pub prefix: KeyPrefix,
    /// Hash of the secret.
    pub secret_hash: SecretHash,
    /// The public prefix before the last rotation.
    pub former_prefix: Option<KeyPrefix>,
    /// Hash of the secret before the last rotation.
    pub former_secret_hash: Option<SecretHash>,
    /// When the former secret was created.
    pub former_created_at: Option<Timestamp>,
    /// When the former secret expires.
    pub former_expires_at: Option<Timestamp>,
    /// When it was last rotated.
    pub rotated_at: Option<Timestamp>,
    /// The addresses that it may be used from.
    pub allowed_ip_ranges: IpRanges,
    /// Maximum calls per second; 0 for the server's default.
    pub rate_limit: i64,
    /// The scopes that it grants.
    pub scopes: Scopes,
    /// The environment that it is meant for.
    pub environment: Environment,
    /// Free-form metadata.
    pub metadata: JsonObject,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// When it was disabled; `None` while it is enabled.
    pub disabled_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(ApiKey);

/// Maximum configurable calls per second of a key.
pub const MAX_RATE_LIMIT: u32 = 1_000_000;

words! {
    /// The environment that a key is meant for. The word is part of the key.
    Environment {
        /// Production.
        Live = "live",
        /// Development and tests.
        Test = "test",
    }
}

/// The public prefix of a key, such as `cf_live_3kTMd92LmQ0a`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPrefix {
    /// The text, followed by zeros.
    bytes: [u8; Self::MAX_BYTES],
    length: u8,
}

impl std::fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_stored().fmt(f)
    }
}

impl KeyPrefix {
    /// Maximum length: the prefix of secrets, `_live_`, and 12 characters.
    pub const MAX_BYTES: usize = SecretPrefix::MAX_BYTES + 18;

    /// Accepts an ASCII text of the right length.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes.get_mut(..text.len()).filter(|_| text.is_ascii())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }
}

impl StoredText for KeyPrefix {
    fn as_stored(&self) -> &str {
        // ASCII, checked on construction.
        self.bytes.get(..usize::from(self.length)).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    fn from_stored(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("{text:?} is not the prefix of a key"))
    }
}

/// The owner of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyOwner {
    /// An organization.
    Organization(OrganizationId),
    /// A user.
    User(UserId),
}

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The owner.
    pub owner: ApiKeyOwner,
    /// The display name.
    pub name: Name,
    /// The scopes that it grants.
    pub scopes: Scopes,
    /// The environment that it is meant for.
    pub environment: Environment,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// The addresses that it may be used from.
    pub allowed_ip_ranges: IpRanges,
    /// Maximum calls per second; 0 for the server's default.
    pub rate_limit: i64,
    /// Free-form metadata.
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
            source_user_id: created_by.filter(|_| !by_platform),
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
            disabled_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Fields to update; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyChanges {
    /// The display name.
    pub name: Option<Name>,
    /// The scopes.
    pub scopes: Option<Scopes>,
    /// The expiry; `Some(None)` removes it.
    pub expires_at: Option<Option<Timestamp>>,
    /// The addresses that it may be used from.
    pub allowed_ip_ranges: Option<IpRanges>,
    /// Maximum calls per second.
    pub rate_limit: Option<i64>,
    /// Free-form metadata.
    pub metadata: Option<JsonChanges>,
}

impl ApiKey {
    /// Replaces the secret. The current one stays valid for `overlap`; one before it stops at once.
    pub fn rotate(&mut self, (prefix, secret_hash): (KeyPrefix, SecretHash), overlap: Duration, now: Timestamp) {
        self.former_prefix = Some(std::mem::replace(&mut self.prefix, prefix));
        self.former_secret_hash = Some(std::mem::replace(&mut self.secret_hash, secret_hash));
        self.former_created_at = Some(self.secret_created_at());
        self.former_expires_at = Some(now.after(overlap));
        self.rotated_at = Some(now);
    }

    /// True if this state of the key allows everything that `after` allows.
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

    /// True once the key itself has expired, regardless of its secrets.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// When its current secret was created.
    pub fn secret_created_at(&self) -> Timestamp {
        self.rotated_at.unwrap_or(self.created_at)
    }

    /// When the secret of a prefix expires, at the latest with the key. `None` for never; in the past for a secret that was replaced.
    pub fn ends_at(&self, prefix: &KeyPrefix) -> Option<Timestamp> {
        match self.secret(prefix) {
            Some((_, until)) => until.into_iter().chain(self.expires_at).min(),
            None => Some(self.created_at),
        }
    }

    /// The secret of a prefix, and when it expires before the key.
    fn secret(&self, prefix: &KeyPrefix) -> Option<(&SecretHash, Option<Timestamp>)> {
        if self.prefix == *prefix {
            return Some((&self.secret_hash, None));
        }
        let former = self.former_secret_hash.as_ref().filter(|_| self.former_prefix == Some(*prefix))?;
        Some((former, self.former_expires_at))
    }

    /// Applies `changes`.
    pub fn apply(&mut self, changes: ApiKeyChanges) -> Result<(), Overflow> {
        // Without `..`: a forgotten field does not compile.
        let ApiKeyChanges { name, scopes, expires_at, allowed_ip_ranges, rate_limit, metadata } = changes;
        if let Some(name) = name {
            self.name = name;
        }
        if let Some(scopes) = scopes {
            self.scopes = scopes;
        }
        if let Some(expires_at) = expires_at {
            self.expires_at = expires_at;
        }
        if let Some(ranges) = allowed_ip_ranges {
            self.allowed_ip_ranges = ranges;
        }
        if let Some(rate_limit) = rate_limit {
            self.rate_limit = rate_limit;
        }
        if let Some(metadata) = metadata {
            metadata.apply("metadata", &mut self.metadata)?;
        }
        Ok(())
    }
}

/// True if a rate allows as many calls as another one; 0 means no limit.
pub fn covers_rate(held: i64, given: i64) -> bool {
    held == 0 || (given != 0 && given <= held)
}

/// When the secrets of a key were last used.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastUses {
    /// The current one.
    pub current: Option<Timestamp>,
    /// The one before it.
    pub former: Option<Timestamp>,
}

/// A key and when its secrets were last used.
#[derive(Clone, Debug)]
pub struct KeyWithUses {
    /// The key.
    pub api_key: ApiKey,
    /// The last uses, as of the last flush to the database.
    pub last_uses: LastUses,
}

/// A filter of keys.
#[derive(Clone, Debug)]
pub struct ApiKeyFilter {
    /// The owner.
    pub owner: ApiKeyOwner,
    /// Whether revoked keys are included.
    pub include_revoked: bool,
    /// Whose name contains this.
    pub fragment: Option<Fragment>,
    /// Created by this user.
    pub created_by: Option<UserId>,
    /// When they expire. A key without an expiry is in no range.
    pub expires: Period,
    /// When they were last used. A key that was never used is before every time.
    pub last_used: Period,
    /// With this value in their metadata.
    pub metadata: Option<MetadataMatch>,
}

impl ApiKeyFilter {
    /// All keys of an owner, also revoked ones.
    pub fn all(owner: ApiKeyOwner) -> Self {
        let (expires, last_used) = (Period::default(), Period::default());
        Self { owner, include_revoked: true, fragment: None, created_by: None, expires, last_used, metadata: None }
    }
}
