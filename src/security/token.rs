//! The texts of API keys and refresh tokens: made, recognised, hashed.
//!
//! API key: `cf_live_` or `cf_test_`, 12 characters that find it, 43 that prove it, 6 of checksum. Refresh token: `cf_rt_`,
//! 43 characters of secret, 6 of checksum. The checksum lets a typo or a scanner be answered without the database. The 43
//! characters carry 256 random bits, so that a plain SHA-256 protects them.

use sha2::{Digest as _, Sha256};

use super::random;
use crate::models::{Environment, Plaintext, SecretHash, api_key::KeyPrefix, stored::StoredText as _};

const PUBLIC_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const REFRESH_TOKEN_PREFIX: &str = "cf_rt_";

/// A new credential: what the caller gets, and what is stored of it.
#[derive(Debug)]
pub struct Minted<P> {
    /// The text for the one response that tells it.
    pub plaintext: Plaintext,
    /// The public part that finds it.
    pub public: P,
    /// The hash of its secret.
    pub hash: SecretHash,
}

/// Makes an API key.
#[expect(clippy::expect_used, reason = "the parts have fixed lengths")]
pub fn mint_api_key(environment: Environment) -> Minted<KeyPrefix> {
    let prefix = format!("cf_{}_{}", environment.as_stored(), random::base62(PUBLIC_CHARS));
    let (plaintext, hash) = mint(&prefix);
    Minted { plaintext, public: KeyPrefix::new(&prefix).expect("it has the length of all"), hash }
}

/// Makes a refresh token.
pub fn mint_refresh_token() -> Minted<()> {
    let (plaintext, hash) = mint(REFRESH_TOKEN_PREFIX);
    Minted { plaintext, public: (), hash }
}

/// Takes a presented API key apart, or answers `None` if no key ever looked like it.
pub fn read_api_key(presented: &str) -> Option<(KeyPrefix, SecretHash)> {
    let environment = ["cf_live_", "cf_test_"].into_iter().find(|word| presented.starts_with(word))?;
    let public_end = environment.len() + PUBLIC_CHARS;
    let hash = read(presented, public_end)?;
    Some((KeyPrefix::new(presented.get(..public_end)?)?, hash))
}

/// Hashes a presented refresh token, or answers `None` if no token ever looked like it.
pub fn read_refresh_token(presented: &str) -> Option<SecretHash> {
    presented.starts_with(REFRESH_TOKEN_PREFIX).then(|| read(presented, REFRESH_TOKEN_PREFIX.len()))?
}

fn mint(public: &str) -> (Plaintext, SecretHash) {
    let secret = random::base62(SECRET_CHARS);
    let body = format!("{public}{secret}");
    let plaintext = format!("{body}{}", checksum(&body));
    (Plaintext::new(plaintext), hash(&secret))
}

fn read(presented: &str, secret_start: usize) -> Option<SecretHash> {
    let secret_end = secret_start + SECRET_CHARS;
    if presented.len() != secret_end + CHECKSUM_CHARS || !presented.is_ascii() {
        return None;
    }
    let (body, checked) = presented.split_at_checked(secret_end)?;
    (checksum(body) == checked).then(|| hash(&body[secret_start..]))
}

fn hash(secret: &str) -> SecretHash {
    SecretHash::new(Sha256::digest(secret).into())
}

/// CRC-32 in base62, which needs six digits.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = Vec::with_capacity(CHECKSUM_CHARS);
    for _ in 0..CHECKSUM_CHARS {
        digits.extend(random::base62_digit(rest));
        rest /= 62;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minted_key_is_read_back_and_a_changed_character_is_noticed() {
        for environment in [Environment::Live, Environment::Test] {
            let minted = mint_api_key(environment);
            let text = minted.plaintext.expose();
            assert_eq!(text.len(), 69);
            let (prefix, hash) = read_api_key(text).unwrap();
            assert!(prefix == minted.public && hash.matches(&minted.hash));
            for at in 8..text.len() {
                let mut changed = text.to_owned().into_bytes();
                changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
                assert!(read_api_key(std::str::from_utf8(&changed).unwrap()).is_none(), "{at}");
            }
        }
    }

    #[test]
    fn a_minted_refresh_token_is_read_back_and_is_no_api_key() {
        let minted = mint_refresh_token();
        let text = minted.plaintext.expose();
        assert!(text.len() == 55 && read_refresh_token(text).unwrap().matches(&minted.hash));
        assert!(
            read_api_key(text).is_none()
                && read_refresh_token(mint_api_key(Environment::Live).plaintext.expose()).is_none()
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(cf_(live|test|rt)_)?\\PC{0,80}") {
            let _ = (read_api_key(&text), read_refresh_token(&text));
        }
    }
}
