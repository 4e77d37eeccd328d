//! Sealing: XChaCha20-Poly1305 with a key ring, every value bound to its place.
//!
//! A sealed value is: version (1 byte), length of the key id (1 byte), key id, nonce (24 bytes), ciphertext with tag. Nonces of 192 random
//! bits do not repeat, however much a key seals.

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::random;
use crate::models::Sealed;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// The keys that open sealed values. The first one seals.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The place that a sealed value belongs to. It cannot be opened anywhere else.
#[derive(Clone, Copy, Debug)]
pub struct SealedAt<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row.
    pub row: Uuid,
    /// The user or organization that the row belongs to.
    pub owner: Uuid,
}

/// Why a value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The ring lacks the key.
    #[error("the key that sealed it is not in the key ring")]
    UnknownKey,
    /// It was altered, moved, or sealed with another key of the same id.
    #[error("it was altered, moved from another row, or sealed with another key of the same id")]
    Altered,
}

impl KeyRing {
    /// Parses `id:key[,id:key..]`: each id 1 to 32 of `a-z`, `0-9`, `_` and `-`, each key 32 bytes in base64. The error describes the
    /// problem without any part of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let mut keys: Vec<Key> = Vec::new();
        for (at, entry) in (1..).zip(text.trim().split(',')) {
            let (id, key) = entry.trim().split_once(':').ok_or(format!("entry {at} is not id:key"))?;
            let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
            if !(1..=32).contains(&id.len()) || !id.bytes().all(word) {
                return Err(format!("the id of entry {at} must have 1 to 32 characters of a-z, 0-9, _ and -"));
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(format!("the id of entry {at} occurs twice"));
            }
            let decoded =
                Zeroizing::new(STANDARD.decode(key).map_err(|_| format!("the key of entry {at} is not base64"))?);
            let bytes =
                decoded.as_slice().try_into().map_err(|_| format!("the key of entry {at} does not have 32 bytes"))?;
            keys.push(Key { id: id.to_owned(), bytes: Zeroizing::new(bytes) });
        }
        Ok(Self { keys })
    }

    /// Generates the text of a ring with one new key, for [`KeyRing::parse`].
    pub fn generate() -> Zeroizing<String> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let bytes = Zeroizing::new(random::bytes::<KEY_BYTES>());
        Zeroizing::new(format!("k1:{}", STANDARD.encode(bytes.as_slice())))
    }

    /// The id of the sealing key.
    pub fn primary_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Seals a value for a place.
    #[expect(clippy::expect_used, reason = "a ring is never empty, and sealing a few KiB cannot fail")]
    pub fn seal(&self, plaintext: &[u8], place: SealedAt<'_>) -> Sealed {
        let key = self.keys.first().expect("a ring has a key");
        let nonce = random::bytes::<NONCE_BYTES>();
        let aad = place.aad(&key.id);
        let ciphertext = key
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .expect("a value of a few KiB is sealed");
        let id_length = u8::try_from(key.id.len()).expect("an id has at most 32 bytes");
        Sealed::new([&[VERSION, id_length], key.id.as_bytes(), &nonce, &ciphertext].concat())
    }

    /// Opens a value that was sealed for a place.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, sealed: &Sealed, place: SealedAt<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (id, nonce, ciphertext) = split(sealed.as_bytes()).ok_or(OpenError::Altered)?;
        let key = self.keys.iter().find(|key| key.id.as_bytes() == id).ok_or(OpenError::UnknownKey)?;
        let aad = place.aad(&key.id);
        let opened = key.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad });
        opened.map(Zeroizing::new).map_err(|_| OpenError::Altered)
    }

    /// True if a value was sealed with the key that seals now.
    pub fn is_by_primary(&self, sealed: &Sealed) -> bool {
        split(sealed.as_bytes()).is_some_and(|(id, ..)| id == self.primary_id().as_bytes())
    }

    /// Derives a key for another purpose from each key of the ring, the sealing key's first. A derived key cannot open sealed values.
    pub fn derive(&self, purpose: &str) -> Vec<Zeroizing<[u8; KEY_BYTES]>> {
        self.keys.iter().map(|key| key.derive(purpose)).collect()
    }

    /// Derives a key for another purpose from the sealing key.
    #[expect(clippy::expect_used, reason = "a ring is never empty")]
    pub fn derive_primary(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        self.keys.first().expect("a ring has a key").derive(purpose)
    }
}

impl Key {
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(mac(self.bytes.as_slice(), &[purpose.as_bytes()]))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl SealedAt<'_> {
    /// The associated data: the place and the key. Length prefixes separate the parts.
    fn aad(&self, key_id: &str) -> Vec<u8> {
        let mut aad = vec![VERSION];
        for part in [
            key_id.as_bytes(),
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row.as_bytes(),
            self.owner.as_bytes(),
        ] {
            aad.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            aad.extend(part);
        }
        aad
    }
}

fn split(sealed: &[u8]) -> Option<(&[u8], &[u8; NONCE_BYTES], &[u8])> {
    let ([version, id_length], rest) = sealed.split_first_chunk()?;
    let (id, rest) = rest.split_at_checked(usize::from(*id_length))?;
    let (nonce, ciphertext) = rest.split_first_chunk()?;
    (*version == VERSION).then_some((id, nonce, ciphertext))
}

/// HMAC-SHA-256 over parts, each with a length prefix.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Size of a [`tag`] in bytes.
pub const TAG_BYTES: usize = 16;

/// The first half of a [`mac`]: 128 bits are enough where each guess takes a call to the server.
pub fn tag(key: &[u8], parts: &[&[u8]]) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&mac(key, parts)[..TAG_BYTES]);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring() -> KeyRing {
        KeyRing::parse(&KeyRing::generate()).unwrap()
    }

    fn place(row: u128) -> SealedAt<'static> {
        SealedAt { table: "t", column: "c", row: Uuid::from_u128(row), owner: Uuid::from_u128(9) }
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_and_nowhere_else() {
        let ring = ring();
        let sealed = ring.seal(b"canary", place(1));
        assert_eq!(ring.open(&sealed, place(1)).unwrap().as_slice(), b"canary");
        assert!(!sealed.as_bytes().windows(6).any(|bytes| bytes == b"canary"));
        assert_eq!(ring.open(&sealed, place(2)), Err(OpenError::Altered));
        assert_eq!(ring.open(&sealed, SealedAt { column: "d", ..place(1) }), Err(OpenError::Altered));
        assert_eq!(ring.open(&sealed, SealedAt { owner: Uuid::nil(), ..place(1) }), Err(OpenError::Altered));
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let ring = ring();
        assert_ne!(ring.seal(b"x", place(1)).as_bytes(), ring.seal(b"x", place(1)).as_bytes());
    }

    #[test]
    fn an_old_key_still_opens_and_a_missing_one_is_named() {
        let old = KeyRing::generate();
        let sealed = KeyRing::parse(&old).unwrap().seal(b"x", place(1));
        let new = KeyRing::generate().replace("k1", "k2");
        let both = KeyRing::parse(&format!("{new},{}", *old)).unwrap();
        assert!(both.open(&sealed, place(1)).is_ok() && both.primary_id() == "k2");
        assert_eq!(KeyRing::parse(&new).unwrap().open(&sealed, place(1)), Err(OpenError::UnknownKey));
    }

    #[test]
    fn a_bad_ring_is_refused_without_telling_a_key() {
        for text in ["", "k1", "k1:", "k1:AAAA", "K:AAAA", "k1:canary!", &format!("{0},{0}", *KeyRing::generate())] {
            let error = KeyRing::parse(text).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn opening_anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(ring().open(&Sealed::new(bytes), place(1)).is_err());
        }
    }
}
