//! OAuth accounts.

use serde_json::Value;

use super::{
    Email, OauthAccountId, Plaintext, Revision, Sealed, Timestamp, UserId,
    characters::exact,
    email::GivenEmail,
    resource::resource,
    role::is_word,
    scope::strings,
    stored::{StoredJson, stored_as_is},
};

/// A user's account at an external provider.
#[derive(Clone, Debug, PartialEq)]
pub struct OauthAccount {
    /// The id.
    pub id: OauthAccountId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The provider.
    pub provider: Provider,
    /// The provider's id of the account.
    pub provider_user_id: ProviderUserId,
    /// The address that the provider reported. It does not identify the user.
    pub email: Option<GivenEmail>,
    /// The scopes that the provider granted.
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

/// An account as its provider identifies it.
#[derive(Clone, Debug)]
pub struct ProviderAccount {
    /// The provider.
    pub provider: Provider,
    /// The provider's id of the account.
    pub provider_user_id: ProviderUserId,
}

/// A provider's tokens, in clear. When they are stored, one that is `None` keeps the stored one, and an empty one removes it.
#[derive(Clone, Debug, Default)]
pub struct ProviderTokens {
    /// The access token.
    pub access_token: Option<Plaintext>,
    /// The refresh token.
    pub refresh_token: Option<Plaintext>,
    /// When the access token expires.
    pub token_expires_at: Option<Timestamp>,
}

/// An OAuth account to link.
#[derive(Clone, Debug)]
pub struct NewOauthAccount {
    /// The user.
    pub user_id: UserId,
    /// The account.
    pub account: ProviderAccount,
    /// The address that the provider reported.
    pub email: Option<Email>,
    /// The scopes that the provider granted.
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

/// A filter of OAuth accounts.
#[derive(Clone, Debug)]
pub struct OauthAccountFilter {
    /// The user.
    pub user_id: UserId,
    /// The provider.
    pub provider: Option<Provider>,
}

/// The name of a provider, such as `github`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider(String);

impl Provider {
    /// Checks the name of a provider.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if is_word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter")
        }
    }
}

/// A provider's id of an account, compared exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderUserId(String);

impl ProviderUserId {
    /// Maximum size in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a provider's id of an account.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            Err("must have 1 to 255 bytes")
        } else {
            exact(text).map(|()| Self(text.to_owned()))
        }
    }
}

stored_as_is!(Provider, ProviderUserId);

/// The scopes that a provider granted, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderScopes(Vec<String>);

impl ProviderScopes {
    /// Maximum number of scopes.
    pub const MAX: usize = 100;
    /// Maximum size of a scope in bytes.
    pub const MAX_BYTES: usize = 255;

    /// True for a scope token as defined by RFC 6749 section 3.3.
    pub fn is_scope(text: &str) -> bool {
        (1..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    }

    /// Wraps checked scopes.
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
