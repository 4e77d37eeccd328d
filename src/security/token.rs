//! The text format of API keys, refresh tokens and mailed tokens.
//!
//! API key: `cf_live_` or `cf_test_`, a lookup id of 12 characters, a secret of 43, a checksum of 6. Invitation token: `cf_inv_`, its id in
//! 22 characters, a secret of 43, a checksum of 6; other mailed tokens likewise with `cf_ev_`, `cf_pr_` and `cf_ec_`. The 43 characters
//! carry 256 random bits, so a plain SHA-256 protects them. The checksum rejects typos and scanners without the database.
//!
//! Refresh token: `cf_rt_`, the session's id in 22 characters, the generation in 11, a tag of 44, a checksum of 6. The tag is an
//! HMAC-SHA-256 of session and generation with the session's own secret. So a session needs one row for all its tokens: it recognizes
//! every token that it issued, and can return the current one again.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{random, sealing::mac};
use crate::models::{
    Environment, Generation, InvitationId, OneTimeTokenId, Plaintext, Purpose, SecretHash, SecretPrefix, SessionId,
    api_key::KeyPrefix, stored::StoredText as _,
};

const PUBLIC_CHARS: usize = 12;
/// Base62 digits of 128 bits.
const ID_CHARS: usize = 22;
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// Base62 digits of 64 bits.
const GENERATION_CHARS: usize = 11;
const TAG_BYTES: usize = 32;
/// The two halves of a tag, each with the digits of 128 bits.
const TAG_CHARS: usize = 2 * ID_CHARS;
/// Separates the tags of refresh tokens from any other use of the key.
const TAG_PURPOSE: &[u8] = b"refresh token";
const REFRESH_TOKEN: &str = "rt";
const INVITATION_TOKEN: &str = "inv";

/// The kind of a token that is mailed.
fn one_time_token(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::EmailVerification => "ev",
        Purpose::PasswordReset => "pr",
        Purpose::EmailChange => "ec",
    }
}

/// The prefix of issued secrets, and former prefixes, which are still accepted.
#[derive(Clone, Debug, Default)]
pub struct SecretPrefixes {
    issued: SecretPrefix,
    former: Vec<SecretPrefix>,
}

/// The secret that the refresh tokens of a session are derived from: 256 random bits. It is stored sealed and never returned.
pub struct SessionSecret(Zeroizing<[u8; SessionSecret::BYTES]>);

/// A refresh token as presented: well-formed, but not yet proven.
#[derive(Clone, Copy)]
pub struct PresentedToken {
    /// The session that it claims.
    pub session: SessionId,
    /// The generation that it claims. Never negative.
    pub generation: Generation,
    tag: [u8; TAG_BYTES],
}

impl SessionSecret {
    const BYTES: usize = 32;

    /// Generates a new secret.
    pub fn random() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// The secret from its bytes. `None` if their length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes, to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// True if a token was made with this secret. Compares in constant time.
    pub fn has_issued(&self, token: &PresentedToken) -> bool {
        self.tag(token.session, token.generation).ct_eq(&token.tag).into()
    }

    fn tag(&self, session: SessionId, generation: Generation) -> [u8; TAG_BYTES] {
        mac(self.as_bytes(), &[TAG_PURPOSE, session.0.as_bytes(), &generation.to_be_bytes()])
    }
}

impl SecretPrefixes {
    /// Issues secrets with one prefix, and accepts them with that and with former ones.
    pub fn new(issued: SecretPrefix, former: Vec<SecretPrefix>) -> Self {
        Self { issued, former }
    }

    /// Creates an API key: the plaintext, which is returned once, and what is stored of it.
    #[expect(clippy::expect_used, reason = "the parts have bounded lengths")]
    pub fn mint_api_key(&self, environment: Environment) -> (Plaintext, (KeyPrefix, SecretHash)) {
        let prefix = format!("{}{}", self.beginning(environment.as_stored()), random::base62(PUBLIC_CHARS));
        let (plaintext, hash) = mint(&prefix);
        (plaintext, (KeyPrefix::new(&prefix).expect("it is no longer than the longest"), hash))
    }

    /// Creates an invitation's token, which is returned once, and the hash that is stored.
    pub fn mint_invitation_token(&self, id: InvitationId) -> (Plaintext, SecretHash) {
        self.mint_of(INVITATION_TOKEN, id.0)
    }

    /// Creates a mailed token, which is returned once, and the hash that is stored.
    pub fn mint_one_time_token(&self, purpose: Purpose, id: OneTimeTokenId) -> (Plaintext, SecretHash) {
        self.mint_of(one_time_token(purpose), id.0)
    }

    /// The text of the refresh token that a session's secret makes: the same for one generation, whenever it is asked for. With `cf`
    /// it has 89 characters.
    pub fn refresh_token(&self, secret: &SessionSecret, session: SessionId, generation: Generation) -> Plaintext {
        let tag = secret.tag(session, generation);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |number: u128, byte| (number << 8) | u128::from(*byte));
        let (high, low) = tag.split_at(TAG_BYTES / 2);
        let body = format!(
            "{}{}{}{}{}",
            self.beginning(REFRESH_TOKEN),
            random::to_base62(session.0.as_u128(), ID_CHARS),
            random::to_base62(generation.unsigned_abs().into(), GENERATION_CHARS),
            random::to_base62(half(high), ID_CHARS),
            random::to_base62(half(low), ID_CHARS),
        );
        Plaintext::new(format!("{body}{}", checksum(&body)))
    }

    /// Takes a presented API key apart, or answers `None` if no key ever looked like it.
    pub fn read_api_key(&self, presented: &str) -> Option<(KeyPrefix, SecretHash)> {
        let (kind, start) = self.kind(presented)?;
        Environment::ALL.iter().find(|environment| environment.as_stored() == kind)?;
        let public_end = start + PUBLIC_CHARS;
        let hash = read(presented, public_end)?;
        Some((KeyPrefix::new(presented.get(..public_end)?)?, hash))
    }

    /// Takes a presented refresh token apart, or answers `None` if no token ever looked like it. Whether its session made it only the
    /// session's secret can tell: [`SessionSecret::has_issued`].
    pub fn read_refresh_token(&self, presented: &str) -> Option<PresentedToken> {
        let start = self.start_of(REFRESH_TOKEN, presented)?;
        let body = body(presented, start + ID_CHARS + GENERATION_CHARS + TAG_CHARS)?;
        let (id, digits) = body.get(start..)?.split_at_checked(ID_CHARS)?;
        let (generation, tag) = digits.split_at_checked(GENERATION_CHARS)?;
        let (high, low) = tag.split_at_checked(ID_CHARS)?;
        let mut tag = [0; TAG_BYTES];
        let (high_bytes, low_bytes) = tag.split_at_mut(TAG_BYTES / 2);
        high_bytes.copy_from_slice(&random::from_base62(high)?.to_be_bytes());
        low_bytes.copy_from_slice(&random::from_base62(low)?.to_be_bytes());
        Some(PresentedToken {
            session: SessionId(Uuid::from_u128(random::from_base62(id)?)),
            generation: Generation::try_from(random::from_base62(generation)?).ok()?,
            tag,
        })
    }

    /// Takes the presented token of an invitation apart, or answers `None` if no such token ever looked like it.
    pub fn read_invitation_token(&self, presented: &str) -> Option<(InvitationId, SecretHash)> {
        self.read_of(INVITATION_TOKEN, presented).map(|(id, hash)| (InvitationId(id), hash))
    }

    /// Takes the presented token of a purpose apart, or answers `None` if no such token ever looked like it.
    pub fn read_one_time_token(&self, purpose: Purpose, presented: &str) -> Option<(OneTimeTokenId, SecretHash)> {
        self.read_of(one_time_token(purpose), presented).map(|(id, hash)| (OneTimeTokenId(id), hash))
    }

    /// The beginning of issued secrets of a kind.
    fn beginning(&self, kind: &str) -> String {
        format!("{}_{kind}_", self.issued.as_str())
    }

    /// The kind that a presented secret says to be, and where the rest of it starts. `None` with a prefix that is not accepted.
    fn kind<'a>(&self, presented: &'a str) -> Option<(&'a str, usize)> {
        let (prefix, rest) = presented.split_once('_')?;
        let (kind, _) = rest.split_once('_')?;
        let is_accepted = self.issued.as_str() == prefix || self.former.iter().any(|former| former.as_str() == prefix);
        is_accepted.then_some((kind, prefix.len() + kind.len() + 2))
    }

    /// Where the rest of a secret starts that says to be of a kind.
    fn start_of(&self, kind: &str, presented: &str) -> Option<usize> {
        self.kind(presented).filter(|(found, _)| *found == kind).map(|(_, start)| start)
    }

    fn mint_of(&self, kind: &str, id: Uuid) -> (Plaintext, SecretHash) {
        mint(&format!("{}{}", self.beginning(kind), random::to_base62(id.as_u128(), ID_CHARS)))
    }

    fn read_of(&self, kind: &str, presented: &str) -> Option<(Uuid, SecretHash)> {
        let start = self.start_of(kind, presented)?;
        let id_end = start + ID_CHARS;
        let hash = read(presented, id_end)?;
        let id = random::from_base62(presented.get(start..id_end)?)?;
        Some((Uuid::from_u128(id), hash))
    }
}

fn mint(public: &str) -> (Plaintext, SecretHash) {
    let secret = random::base62(SECRET_CHARS);
    let body = format!("{public}{secret}");
    let plaintext = format!("{body}{}", checksum(&body));
    (Plaintext::new(plaintext), hash(&secret))
}

fn read(presented: &str, secret_start: usize) -> Option<SecretHash> {
    let body = body(presented, secret_start + SECRET_CHARS)?;
    body.get(secret_start..).map(hash)
}

/// A text without its checksum. `None` if its length or checksum is wrong.
fn body(presented: &str, length: usize) -> Option<&str> {
    if presented.len() != length + CHECKSUM_CHARS || !presented.is_ascii() {
        return None;
    }
    let (body, checked) = presented.split_at_checked(length)?;
    (checksum(body) == checked).then_some(body)
}

fn hash(secret: &str) -> SecretHash {
    SecretHash::new(Sha256::digest(secret).into())
}

/// CRC-32 in base62, which takes six digits.
fn checksum(body: &str) -> String {
    random::to_base62(crc32fast::hash(body.as_bytes()).into(), CHECKSUM_CHARS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Issues with the default prefix.
    fn cf() -> SecretPrefixes {
        SecretPrefixes::default()
    }

    #[test]
    fn a_minted_key_is_read_back_and_a_changed_character_is_noticed() {
        for environment in [Environment::Live, Environment::Test] {
            let (plaintext, (minted_prefix, minted_hash)) = cf().mint_api_key(environment);
            let text = plaintext.expose();
            assert_eq!(text.len(), 69);
            let (prefix, hash) = cf().read_api_key(text).unwrap();
            assert!(prefix == minted_prefix && hash.matches(&minted_hash));
            for at in 8..text.len() {
                let mut changed = text.to_owned().into_bytes();
                changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
                assert!(cf().read_api_key(std::str::from_utf8(&changed).unwrap()).is_none(), "{at}");
            }
        }
    }

    #[test]
    fn a_refresh_token_is_read_back_and_proven_by_its_session_alone() {
        let (secret, other) = (SessionSecret::random(), SessionSecret::random());
        for generation in [0, 1, 61, 62, 1 << 40, i64::MAX] {
            let id = SessionId(Uuid::from_u128(7));
            let text = cf().refresh_token(&secret, id, generation);
            let read = cf().read_refresh_token(text.expose()).unwrap();
            assert!(read.session == id && read.generation == generation);
            assert!(secret.has_issued(&read) && !other.has_issued(&read));
            assert_eq!(cf().refresh_token(&secret, id, generation).expose(), text.expose(), "it can be derived again");
            // No other token, of the same or another session, has the same tag.
            assert!(!secret.has_issued(&PresentedToken { generation: generation ^ 1, ..read }));
            assert!(!secret.has_issued(&PresentedToken { session: SessionId(Uuid::nil()), ..read }));
        }
    }

    #[test]
    fn a_refresh_token_with_another_generation_or_a_changed_tag_is_not_proven() {
        let (secret, id) = (SessionSecret::random(), SessionId(Uuid::from_u128(7)));
        let text = cf().refresh_token(&secret, id, 5);
        let (next, tag) = (cf().refresh_token(&secret, id, 6), &text.expose()[39..83]);
        let forged = |body: &str| format!("{body}{}", checksum(body));
        let spliced = cf().read_refresh_token(&forged(&format!("{}{tag}", &next.expose()[..39]))).unwrap();
        assert!(spliced.generation == 6 && !secret.has_issued(&spliced));
        for at in 39..83 {
            let mut changed = text.expose()[..83].to_owned().into_bytes();
            changed[at] = if changed[at] == b'1' { b'0' } else { b'1' };
            let changed = cf().read_refresh_token(&forged(std::str::from_utf8(&changed).unwrap()));
            assert!(changed.is_none_or(|changed| !secret.has_issued(&changed)), "{at}");
        }
    }

    #[test]
    fn a_generation_that_is_none_is_no_token() {
        let secret = SessionSecret::random();
        let text = cf().refresh_token(&secret, SessionId(Uuid::from_u128(7)), 1);
        // One above the maximum, the largest number of 11 digits, and 2^64, which would wrap to 0.
        let larger = random::to_base62(1 << 63, GENERATION_CHARS);
        for digits in [larger.as_str(), "zzzzzzzzzzz", "LygHa16AHYG"] {
            let body = format!("{}{digits}{}", &text.expose()[..28], &text.expose()[39..83]);
            assert!(cf().read_refresh_token(&format!("{body}{}", checksum(&body))).is_none(), "{digits}");
        }
    }

    #[test]
    fn a_minted_token_is_read_back_and_is_of_no_other_kind() {
        for id in [0, 61, 62, 1_u128 << 64, u128::MAX] {
            let id = SessionId(Uuid::from_u128(id));
            let plaintext = cf().refresh_token(&SessionSecret::random(), id, 1);
            let text = plaintext.expose();
            assert!(text.len() == 89 && cf().read_refresh_token(text).unwrap().session == id);
            assert!(cf().read_api_key(text).is_none() && cf().read_invitation_token(text).is_none());
            let (plaintext, minted_hash) = cf().mint_invitation_token(InvitationId(id.0));
            let (read, hash) = cf().read_invitation_token(plaintext.expose()).unwrap();
            assert!(plaintext.expose().len() == 78 && read.0 == id.0 && hash.matches(&minted_hash));
            assert!(cf().read_refresh_token(plaintext.expose()).is_none());
        }
        assert!(cf().read_refresh_token(cf().mint_api_key(Environment::Live).0.expose()).is_none());
    }

    #[test]
    fn an_id_of_more_than_128_bits_is_no_id() {
        let rest = "0".repeat(GENERATION_CHARS + TAG_CHARS);
        let body = format!("cf_rt_{}{rest}", "z".repeat(ID_CHARS));
        assert!(cf().read_refresh_token(&format!("{body}{}", checksum(&body))).is_none());
    }

    #[test]
    fn secrets_begin_with_the_prefix_that_is_set_and_former_ones_are_accepted() {
        let prefix = |text: &str| SecretPrefix::parse(text).unwrap();
        let acme = SecretPrefixes::new(prefix("acme"), vec![]);
        let longest = SecretPrefixes::new(prefix("a234567890123456"), vec![prefix("acme"), prefix("cf")]);
        let secret = SessionSecret::random();
        let issue = |by: &SecretPrefixes| {
            let texts = [
                by.mint_api_key(Environment::Live).0,
                by.mint_api_key(Environment::Test).0,
                by.refresh_token(&secret, SessionId(Uuid::nil()), 1),
                by.mint_invitation_token(InvitationId(Uuid::nil())).0,
                by.mint_one_time_token(Purpose::PasswordReset, OneTimeTokenId(Uuid::nil())).0,
            ];
            texts.map(|text| text.expose().to_owned())
        };
        let accepted = |by: &SecretPrefixes, texts: &[String; 5]| {
            [
                by.read_api_key(&texts[0]).is_some(),
                by.read_api_key(&texts[1]).is_some(),
                by.read_refresh_token(&texts[2]).is_some_and(|token| secret.has_issued(&token)),
                by.read_invitation_token(&texts[3]).is_some(),
                by.read_one_time_token(Purpose::PasswordReset, &texts[4]).is_some(),
            ]
        };
        for (begins, by) in [("cf_", &cf()), ("acme_", &acme), ("a234567890123456_", &longest)] {
            assert!(issue(by).iter().all(|text| text.starts_with(begins)), "{begins}");
            assert_eq!(accepted(by, &issue(by)), [true; 5], "{begins}");
            assert_eq!(accepted(&longest, &issue(by)), [true; 5], "{begins}");
        }
        for (by, other) in [(&cf(), &acme), (&acme, &cf()), (&acme, &longest)] {
            assert_eq!(accepted(by, &issue(other)), [false; 5]);
        }
        // The checksum covers the prefix: no secret becomes one of another prefix by a change of it.
        assert_eq!(accepted(&longest, &issue(&acme).map(|text| text.replacen("acme", "cf", 1))), [false; 5]);
        for text in ["", "a", "a2345678901234567", "Acme", "ac_me", "ac-me", "1a", "eyes", "é1", "ac me"] {
            assert!(SecretPrefix::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(cf_(live|test|rt|inv)_)?\\PC{0,90}") {
            let _ = (cf().read_api_key(&text), cf().read_refresh_token(&text), cf().read_invitation_token(&text));
        }
    }
}
