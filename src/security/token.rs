//! The texts of API keys, refresh tokens and the tokens that are mailed: made, recognised, hashed.
//!
//! API key: `cf_live_` or `cf_test_`, 12 characters that find it, 43 that prove it, 6 of checksum. Refresh token: `cf_rt_`, 22
//! characters of its id, 43 that prove it, 6 of checksum; that of an invitation likewise with `cf_inv_`, and those that are mailed with `cf_ev_`, `cf_pr_` and `cf_ec_`. The checksum lets a typo or a scanner be answered without the database.
//! The 43 characters carry 256 random bits, so that a plain SHA-256 protects them.

use sha2::{Digest as _, Sha256};

use uuid::Uuid;

use super::random;
use crate::models::{
    Environment, InvitationId, OneTimeTokenId, Plaintext, Purpose, RefreshTokenId, SecretHash, api_key::KeyPrefix,
    stored::StoredText as _,
};

const PUBLIC_CHARS: usize = 12;
/// So many base62 digits hold 128 bits.
const ID_CHARS: usize = 22;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const REFRESH_TOKEN_PREFIX: &str = "cf_rt_";
const INVITATION_TOKEN_PREFIX: &str = "cf_inv_";

/// What the tokens that are mailed begin with.
fn one_time_token_prefix(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::EmailVerification => "cf_ev_",
        Purpose::PasswordReset => "cf_pr_",
        Purpose::EmailChange => "cf_ec_",
    }
}

/// Makes an API key: what the caller is told once, and what is stored of it.
#[expect(clippy::expect_used, reason = "the parts have fixed lengths")]
pub fn mint_api_key(environment: Environment) -> (Plaintext, (KeyPrefix, SecretHash)) {
    let prefix = format!("cf_{}_{}", environment.as_stored(), random::base62(PUBLIC_CHARS));
    let (plaintext, hash) = mint(&prefix);
    (plaintext, (KeyPrefix::new(&prefix).expect("it has the length of all"), hash))
}

/// Makes the text of a refresh token, which the caller is told once, and the hash that is stored.
pub fn mint_refresh_token(id: RefreshTokenId) -> (Plaintext, SecretHash) {
    mint_of(REFRESH_TOKEN_PREFIX, id.0)
}

/// Makes the text of an invitation's token, which the caller is told once, and the hash that is stored.
pub fn mint_invitation_token(id: InvitationId) -> (Plaintext, SecretHash) {
    mint_of(INVITATION_TOKEN_PREFIX, id.0)
}

/// Makes the text of a token that is mailed, which the caller is told once, and the hash that is stored.
pub fn mint_one_time_token(purpose: Purpose, id: OneTimeTokenId) -> (Plaintext, SecretHash) {
    mint_of(one_time_token_prefix(purpose), id.0)
}

/// Takes a presented API key apart, or answers `None` if no key ever looked like it.
pub fn read_api_key(presented: &str) -> Option<(KeyPrefix, SecretHash)> {
    let environment = ["cf_live_", "cf_test_"].into_iter().find(|word| presented.starts_with(word))?;
    let public_end = environment.len() + PUBLIC_CHARS;
    let hash = read(presented, public_end)?;
    Some((KeyPrefix::new(presented.get(..public_end)?)?, hash))
}

/// Takes a presented refresh token apart, or answers `None` if no token ever looked like it.
pub fn read_refresh_token(presented: &str) -> Option<(RefreshTokenId, SecretHash)> {
    read_of(REFRESH_TOKEN_PREFIX, presented).map(|(id, hash)| (RefreshTokenId(id), hash))
}

/// Takes the presented token of an invitation apart, or answers `None` if no such token ever looked like it.
pub fn read_invitation_token(presented: &str) -> Option<(InvitationId, SecretHash)> {
    read_of(INVITATION_TOKEN_PREFIX, presented).map(|(id, hash)| (InvitationId(id), hash))
}

/// Takes the presented token of a purpose apart, or answers `None` if no such token ever looked like it.
pub fn read_one_time_token(purpose: Purpose, presented: &str) -> Option<(OneTimeTokenId, SecretHash)> {
    read_of(one_time_token_prefix(purpose), presented).map(|(id, hash)| (OneTimeTokenId(id), hash))
}

fn mint_of(prefix: &str, id: Uuid) -> (Plaintext, SecretHash) {
    mint(&format!("{prefix}{}", random::to_base62(id.as_u128(), ID_CHARS)))
}

fn read_of(prefix: &str, presented: &str) -> Option<(Uuid, SecretHash)> {
    let id_end = prefix.len() + ID_CHARS;
    let hash = read(presented, id_end)?;
    let id = random::from_base62(presented.get(..id_end)?.strip_prefix(prefix)?)?;
    Some((Uuid::from_u128(id), hash))
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
    random::to_base62(crc32fast::hash(body.as_bytes()).into(), CHECKSUM_CHARS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minted_key_is_read_back_and_a_changed_character_is_noticed() {
        for environment in [Environment::Live, Environment::Test] {
            let (plaintext, (minted_prefix, minted_hash)) = mint_api_key(environment);
            let text = plaintext.expose();
            assert_eq!(text.len(), 69);
            let (prefix, hash) = read_api_key(text).unwrap();
            assert!(prefix == minted_prefix && hash.matches(&minted_hash));
            for at in 8..text.len() {
                let mut changed = text.to_owned().into_bytes();
                changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
                assert!(read_api_key(std::str::from_utf8(&changed).unwrap()).is_none(), "{at}");
            }
        }
    }

    #[test]
    fn a_minted_refresh_token_is_read_back_and_is_no_api_key() {
        for id in [0, 61, 62, 1_u128 << 64, u128::MAX] {
            let id = RefreshTokenId(Uuid::from_u128(id));
            let (plaintext, minted_hash) = mint_refresh_token(id);
            let text = plaintext.expose();
            let (read, hash) = read_refresh_token(text).unwrap();
            assert!(text.len() == 77 && read == id && hash.matches(&minted_hash));
            assert!(read_api_key(text).is_none() && read_invitation_token(text).is_none());
            let (plaintext, minted_hash) = mint_invitation_token(InvitationId(id.0));
            let (read, hash) = read_invitation_token(plaintext.expose()).unwrap();
            assert!(plaintext.expose().len() == 78 && read.0 == id.0 && hash.matches(&minted_hash));
            assert!(read_refresh_token(plaintext.expose()).is_none());
        }
        assert!(read_refresh_token(mint_api_key(Environment::Live).0.expose()).is_none());
    }

    #[test]
    fn an_id_of_more_than_128_bits_is_no_id() {
        let body = format!("{REFRESH_TOKEN_PREFIX}{}{}", "z".repeat(ID_CHARS), "0".repeat(SECRET_CHARS));
        assert!(read_refresh_token(&format!("{body}{}", checksum(&body))).is_none());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(cf_(live|test|rt|inv)_)?\\PC{0,80}") {
            let _ = (read_api_key(&text), read_refresh_token(&text), read_invitation_token(&text));
        }
    }
}
