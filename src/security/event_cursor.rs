//! Cursors of the event stream: opaque and authenticated, so that only positions that were issued are accepted.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::sealing::{KeyRing, TAG_BYTES, tag};
use crate::models::Sequence;

const VERSION: u8 = 1;

/// Writes and reads cursors.
#[derive(Clone)]
pub struct EventCursors {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

impl EventCursors {
    /// Derives the keys from the ring.
    pub fn new(ring: &KeyRing) -> Self {
        Self { keys: ring.derive("event cursors") }
    }

    /// The cursor of a position.
    pub fn write(&self, place: Sequence) -> String {
        let Some(key) = self.keys.first() else { return String::new() };
        let body = body(place);
        URL_SAFE_NO_PAD.encode([body.as_slice(), &tag(key.as_slice(), &[&body])].concat())
    }

    /// The position of a cursor. `None` if it was not issued here.
    pub fn read(&self, cursor: &str) -> Option<Sequence> {
        let mut bytes = [0; 9 + TAG_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(cursor, &mut bytes).ok()?;
        let (body, presented) = bytes.get(..length)?.split_last_chunk::<TAG_BYTES>()?;
        if !self.keys.iter().any(|key| bool::from(tag(key.as_slice(), &[body]).ct_eq(presented))) {
            return None;
        }
        let (version, place) = body.split_first()?;
        (*version == VERSION).then_some(Sequence::from_be_bytes(place.try_into().ok()?))
    }
}

fn body(place: Sequence) -> [u8; 9] {
    let mut body = [VERSION; 9];
    body[1..].copy_from_slice(&place.to_be_bytes());
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> EventCursors {
        EventCursors::new(&KeyRing::parse(&KeyRing::generate()).unwrap())
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_written_and_a_forged_one_is_refused(place: Sequence, forged in "[A-Za-z0-9_-]{0,60}") {
            let cursors = cursors();
            let cursor = cursors.write(place);
            prop_assert_eq!(cursors.read(&cursor), Some(place));
            prop_assert_eq!(cursors.read(&forged), None);
            prop_assert_eq!(cursors.read(&cursor[1..]), None);
            prop_assert_eq!(super::tests::cursors().read(&cursor), None);
        }
    }
}
