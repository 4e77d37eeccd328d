//! Types for secrets. None of them is printed. A hash of a secret is compared in constant time, also with `==`; the others have no `==`.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret in clear, wiped from memory when dropped.
#[derive(Clone)]
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    /// Wraps a secret.
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret, for the one response or the one sealing that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The prefix of a deployment's secrets, before their kind: `cf` in `cf_live_..`. It shows people and scanners of leaked secrets whose
/// they are, and protects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPrefix(String);

impl SecretPrefix {
    /// Maximum length in bytes.
    pub const MAX_BYTES: usize = 16;

    /// Parses a prefix. An underscore would end it, and every access token begins with `ey`.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_word = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if is_word && (2..=Self::MAX_BYTES).contains(&text.len()) && !text.starts_with("ey") {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 2 to 16 lower-case letters and digits, and begin with a letter and not with `ey`")
        }
    }

    /// The prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SecretPrefix {
    fn default() -> Self {
        Self("cf".to_owned())
    }
}

impl std::str::FromStr for SecretPrefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// SHA-256 of a secret of 256 random bits. A slow hash would not help, because such a secret cannot be guessed.
#[derive(Clone)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Wraps a digest.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

/// The hash of a password: a PHC string, or the format of another system. Not a secret like a key, but never disclosed.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps a hash.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one check that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

super::stored::stored_as_is!(PasswordHash);

/// A value sealed under the key ring. Equal bytes are the same sealing; the same value sealed again has other bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Wraps sealed bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The value that replaces an erased one.
    pub fn erased() -> Self {
        Self(Vec::new())
    }

    /// True if the value was erased.
    pub fn is_erased(&self) -> bool {
        self.0.is_empty()
    }

    /// The sealed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! never_prints {
    ($($secret:ident),+) => {$(
        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($secret), "(..)"))
            }
        }
    )+};
}

never_prints!(Plaintext, SecretHash, Sealed, PasswordHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Plaintext::new("canary".to_owned())), "Plaintext(..)");
        assert_eq!(format!("{:?}", SecretHash::new([7; 32])), "SecretHash(..)");
        assert_eq!(format!("{:?}", PasswordHash::new("canary".to_owned())), "PasswordHash(..)");
        assert_eq!(format!("{:?}", Sealed::new(vec![7])), "Sealed(..)");
    }
}
