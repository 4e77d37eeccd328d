//! Page tokens: opaque, authenticated, and valid only for the list that issued them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sealing::{KeyRing, TAG_BYTES, tag};
use crate::models::{Cursor, Reach};

const VERSION: u8 = 1;
/// Maximum length of a token. A cursor holds at most a folded name, so a longer token was not issued here.
const MAX_TEXT: usize = 8 * 1024;

/// Writes and reads page tokens.
#[derive(Clone)]
pub struct PageTokens {
    keys: Vec<Zeroizing<[u8; 32]>>,
}

/// The list that a token belongs to: the method, the caller's reach, and the filters.
#[derive(Clone, Debug)]
pub struct ListIdentity {
    /// Full method name.
    pub method: &'static str,
    /// The caller's reach.
    pub reach: Reach,
    /// The encoded request without its page fields.
    pub filter: Vec<u8>,
}

impl PageTokens {
    /// Derives the keys from the ring.
    pub fn new(ring: &KeyRing) -> Self {
        Self { keys: ring.derive("page tokens") }
    }

    /// The token of the page after `cursor`; empty without one.
    pub fn write(&self, list: &ListIdentity, cursor: Option<&Cursor>) -> String {
        let (Some(cursor), Some(key)) = (cursor, self.keys.first()) else { return String::new() };
        let mut token = vec![VERSION];
        token.extend(cursor.id.as_bytes());
        if let Some(text) = &cursor.text {
            token.push(b't');
            token.extend(text.as_bytes());
        }
        token.extend(list.mac(key.as_slice(), &token));
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The position where the page of a token begins. `None` if the token was not issued for this list.
    pub fn read(&self, list: &ListIdentity, token: &str) -> Option<Cursor> {
        if token.len() > MAX_TEXT {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, tag) = token.split_last_chunk::<TAG_BYTES>()?;
        if !self.keys.iter().any(|key| bool::from(list.mac(key.as_slice(), body).ct_eq(tag))) {
            return None;
        }
        let (version, rest) = body.split_first()?;
        let (id, text) = rest.split_first_chunk::<16>()?;
        let text = match text.split_first() {
            None => None,
            Some((b't', text)) => Some(String::from_utf8(text.to_vec()).ok()?),
            Some(_) => return None,
        };
        (*version == VERSION).then(|| Cursor { text, id: Uuid::from_bytes(*id) })
    }
}

impl ListIdentity {
    fn mac(&self, key: &[u8], body: &[u8]) -> [u8; TAG_BYTES] {
        let (kind, id) = match self.reach {
            Reach::Everything(_) => (b"e", Uuid::nil()),
            Reach::Organization(id) => (b"o", id.0),
            Reach::User(id) => (b"u", id.0),
        };
        tag(key, &[self.method.as_bytes(), kind, id.as_bytes(), &self.filter, body])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::{OrganizationId, UserId};

    fn tokens() -> PageTokens {
        PageTokens::new(&KeyRing::parse(&KeyRing::generate()).unwrap())
    }

    fn list(method: &'static str, reach: Reach, filter: &[u8]) -> ListIdentity {
        ListIdentity { method, reach, filter: filter.to_vec() }
    }

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let tokens = tokens();
        let id = Uuid::from_u128(7);
        let own = list("ListUsers", Reach::User(UserId(id)), b"f");
        let cursor = Cursor { text: Some("ada".to_owned()), id };
        let token = tokens.write(&own, Some(&cursor));
        assert_eq!(tokens.read(&own, &token), Some(cursor));
        for other in [
            list("ListOrganizations", own.reach, b"f"),
            list("ListUsers", Reach::by_system(), b"f"),
            list("ListUsers", Reach::Organization(OrganizationId(id)), b"f"),
            list("ListUsers", own.reach, b"g"),
        ] {
            assert_eq!(tokens.read(&other, &token), None);
        }
        assert_eq!(super::tests::tokens().read(&own, &token), None);
    }

    proptest! {
        #[test]
        fn a_forged_token_is_refused(token in "[A-Za-z0-9_-]{0,200}", garbage in "\\PC{0,50}") {
            let (tokens, list) = (tokens(), list("ListUsers", Reach::by_system(), b""));
            prop_assert_eq!(tokens.read(&list, &token), None);
            prop_assert_eq!(tokens.read(&list, &garbage), None);
        }
    }
}
