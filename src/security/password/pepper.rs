//! Keys that are mixed into hashes.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::format::BASE64;

/// Secret keys mixed into hashes, stored in no database. New hashes use the first one; each hash names its own.
#[derive(Clone, Default)]
pub struct Peppers(Vec<(String, Zeroizing<Vec<u8>>)>);

impl std::fmt::Debug for Peppers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Peppers {
    /// Parses `id:key[,id:key..]`: each id 1 to 8 of `a-z`, `0-9`, each key 32 bytes in base64. The error describes the problem without any
    /// part of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut peppers: Vec<(String, Zeroizing<Vec<u8>>)> = Vec::new();
        for (at, entry) in (1..).zip(text.trim().split(',')) {
            let (id, key) = entry.trim().split_once(':').ok_or(format!("entry {at} is not id:key"))?;
            let is_word = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !(1..=8).contains(&id.len()) || !is_word {
                return Err(format!("the id of entry {at} must have 1 to 8 characters of a-z and 0-9"));
            }
            if peppers.iter().any(|(other, _)| other == id) {
                return Err(format!("the id of entry {at} occurs twice"));
            }
            let key = BASE64.decode(key).map_err(|_| format!("the key of entry {at} is not base64"))?;
            if key.len() != 32 {
                return Err(format!("the key of entry {at} does not have 32 bytes"));
            }
            peppers.push((id.to_owned(), Zeroizing::new(key)));
        }
        Ok(Self(peppers))
    }

    /// The id of the key for new hashes.
    pub(super) fn first_id(&self) -> Option<&str> {
        self.0.first().map(|(id, _)| id.as_str())
    }

    pub(super) fn key(&self, id: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == id).map(|(_, key)| key.as_slice())
    }
}
