//! OAuth accounts.

use serde_json::Value;

use super::{
    Email, OauthAccountId, Plaintext, Revision, Sealed, Timestamp, UserId,
    email::GivenEmail,
    locked::resource,
    role::is_word,
    scope::strings,
    stored::{StoredJson, stored_as_is},
    text::is_forbidden,
};

/// A user's account at an external provider.
#[derive(Clone, Debug)]
pub struct OauthAccount {
    /// Names it.
    pub id: OauthAccountId,
    /// Counts its writes.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The provider.
    pub provider: Provider,
    /// The provider's name for the account.
    pub provider_user_id: ProviderUserId,
    /// The address that the provider told. It identifies nobody.
    pub email: Option<GivenEmail>,
    /// What the provider granted.
    pub scopes: ProviderScopes,
    /// The provider's access token, sealed.
    pub access_token: Option<Sealed>,
    /// The provider's refresh token, sealed.
    pub refresh_token: Option<Sealed>,
    /// When the access token expires.
    pub token_expires_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(OauthAccount);

/// An account as its provider names it.
#[derive(Clone, Debug)]
pub struct ProviderAccount {
    /// The provider.
    pub provider: Provider,
    /// The provider's name for the account.
    pub provider_user_id: ProviderUserId,
}

/// A provider's tokens, in clear.
#[derive(Clone, Debug, Default)]
pub struct ProviderTokens {
    /// The access token.
    pub access_token: Option<Plaintext>,
    /// The refresh token.
    pub refresh_token: Option<Plaintext>,
    /// When the access token expires.
    pub token_expires_at: Option<Timestamp>,
}

/// What a new OAuth account is made of.
#[derive(Clone, Debug)]
pub struct NewOauthAccount {
    /// The user.
    pub user_id: UserId,
    /// The account.
    pub account: ProviderAccount,
    /// The address that the provider told.
    pub email: Option<Email>,
    /// What the provider granted.
    pub scopes: ProviderScopes,
    /// The provider's tokens.
    pub tokens: ProviderTokens,
}

impl NewOauthAccount {
    /// The account without its tokens, not yet stored.
    pub fn to_oauth_account(&self, id: OauthAccountId, now: Timestamp) -> OauthAccount {
        OauthAccount {
            id,
            revision: 1,
            user_id: self.user_id,
            provider: self.account.provider.clone(),
            provider_user_id: self.account.provider_user_id.clone(),
            email: self.email.clone().map(|email| email.into_parts().0),
            scopes: self.scopes.clone(),
            access_token: None,
            refresh_token: None,
            token_expires_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Which OAuth accounts a list holds.
#[derive(Clone, Debug)]
pub struct OauthAccountFilter {
    /// Of this user.
    pub user_id: UserId,
    /// At this provider.
    pub provider: Option<Provider>,
}

/// The word for a provider, as `github`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider(String);

impl Provider {
    /// Checks a provider.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if is_word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter")
        }
    }
}

/// The provider's name for an account. It is compared exactly: what a provider tells apart stays apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUserId(String);

impl ProviderUserId {
    /// Most bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a provider's name for an account.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            Err("must have 1 to 255 bytes")
        } else if text.chars().any(is_forbidden) {
            Err("must not contain control characters")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

stored_as_is!(Provider, ProviderUserId);

/// What a provider granted, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderScopes(Vec<String>);

impl ProviderScopes {
    /// Most scopes.
    pub const MAX: usize = 100;
    /// Most bytes of one scope.
    pub const MAX_BYTES: usize = 255;

    /// True for what RFC 6749 section 3.3 calls a scope token.
    pub fn is_scope(text: &str) -> bool {
        (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    }

    /// Takes checked scopes.
    pub fn new(scopes: Vec<String>) -> Self {
        Self(scopes)
    }

    /// The scopes.
    pub fn into_inner(self) -> Vec<String> {
        self.0
    }
}

impl StoredJson for ProviderScopes {
    fn to_stored(&self) -> Value {
        self.0.iter().map(|scope| Value::from(scope.as_str())).collect()
    }

    fn from_stored(json: Value) -> Result<Self, String> {
        strings(json).map(Self)
    }
}
