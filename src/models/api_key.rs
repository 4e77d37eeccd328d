//! API keys, and the one check that tells whether a presented key is good.

use std::sync::Arc;

use super::{
    ApiKeyId, Caller, JsonObject, Name, OrganizationId, Principal, Revision, Scope, Scopes, SecretHash, Timestamp,
    UserId,
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
    /// What it is called.
    pub name: Name,
    /// The public beginning of the key.
    pub prefix: KeyPrefix,
    /// Hash of the secret.
    pub secret_hash: SecretHash,
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
pub struct KeyPrefix([u8; Self::BYTES]);

impl std::fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_stored().fmt(f)
    }
}

impl KeyPrefix {
    /// How long each of them is.
    pub const BYTES: usize = 20;

    /// Takes a text of the right length, in ASCII.
    pub fn new(text: &str) -> Option<Self> {
        text.is_ascii().then_some(())?;
        text.as_bytes().try_into().map(Self).ok()
    }
}

impl StoredText for KeyPrefix {
    fn as_stored(&self) -> &str {
        // ASCII since it was made.
        std::str::from_utf8(&self.0).unwrap_or_default()
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
    /// Free-form.
    pub metadata: JsonObject,
}

impl NewApiKey {
    /// The key, not yet stored.
    pub fn to_api_key(
        &self,
        id: ApiKeyId,
        (prefix, secret_hash): (KeyPrefix, SecretHash),
        created_by: Option<UserId>,
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
            name: self.name.clone(),
            prefix,
            secret_hash,
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
    /// Free-form.
    pub metadata: Option<JsonObject>,
}

impl ApiKey {
    /// True once it has stopped.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
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
        if let Some(metadata) = changes.metadata {
            self.metadata = metadata;
        }
    }
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
    /// Good, and without the scope asked for.
    ScopeMissing,
}

impl Credential {
    /// Checks a presented secret, and a scope if one is asked for, at `now`. The secret comes first, so that whoever does
    /// not hold it learns nothing else.
    pub fn check(&self, presented: &SecretHash, scope: Option<&Scope>, now: Timestamp) -> Verdict {
        if self.key.secret_hash.matches(presented) { self.standing(scope, now) } else { Verdict::WrongSecret }
    }

    /// Checks a key whose secret was presented before, and a scope if one is asked for, at `now`.
    pub fn standing(&self, scope: Option<&Scope>, now: Timestamp) -> Verdict {
        if self.key.revoked_at.is_some() {
            Verdict::Revoked
        } else if self.key.is_expired(now) {
            Verdict::Expired
        } else if self.owner != OwnerState::Active {
            Verdict::OwnerInactive
        } else if scope.is_some_and(|scope| !self.key.scopes.hold(scope)) {
            Verdict::ScopeMissing
        } else {
            Verdict::Valid
        }
    }

    /// The caller that presents this key.
    pub fn caller(&self) -> Caller {
        Caller {
            api_key_id: self.key.id,
            principal: self.principal,
            scopes: Arc::new(self.key.scopes.clone()),
            expires_at: self.key.expires_at,
        }
    }
}
