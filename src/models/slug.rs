//! Slugs: the names of organizations in URLs.

use super::{fold::folded, stored::stored_as_is, text::Name};

/// 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit at both ends: a DNS label, so that it can be a subdomain. It has no `--` as its
/// third and fourth characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    /// Maximum number of characters: RFC 1035 section 2.3.1.
    pub const MAX_CHARS: usize = 63;

    /// Checks a slug.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let edge = |c: Option<u8>| c.is_some_and(|c| c != b'-');
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if text.len() > Self::MAX_CHARS || !text.bytes().all(inner) {
            return Err("must have 1 to 63 characters of a-z, 0-9 and -");
        }
        if !edge(text.bytes().next()) || !edge(text.bytes().last()) {
            return Err("must begin and end with a letter or digit");
        }
        // Such labels are kept for encoded names (RFC 5890 section 2.3.1). A browser shows `xn--..` as letters of another script, which can
        // look like the slug of another organization.
        if text.get(2..4) == Some("--") {
            return Err("must not have hyphens as its third and fourth characters, which mark an encoded name (xn--)");
        }
        Ok(Self(text.to_owned()))
    }

    /// Derives a slug from a name: characters other than letters and digits become hyphens. If nothing is left, the slug is `organization`.
    pub fn of_name(name: &Name) -> Self {
        Self::joined(&Self::words(name), "")
    }

    /// Derives a slug from a name and a suffix of letters and digits, for when the slug of the name alone is taken.
    pub fn of_name_with_ending(name: &Name, ending: &str) -> Self {
        let ending: String = ending.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        Self::joined(&Self::words(name), &ending)
    }

    fn words(name: &Name) -> String {
        let ascii = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        // Folding removes accents, so `Café` keeps its e.
        folded(name.as_str()).split(|c| !ascii(c)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }

    fn joined(words: &str, ending: &str) -> Self {
        let room = Self::MAX_CHARS - if ending.is_empty() { 0 } else { ending.len() + 1 };
        let words = if words.is_empty() { "organization" } else { words };
        let stem: String = words.chars().take(room).collect();
        let stem = stem.trim_end_matches('-');
        Self(if ending.is_empty() { stem.to_owned() } else { format!("{stem}-{ending}") })
    }

    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(Slug);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_generated_slug_is_a_slug(name in "\\PC{1,200}", ending in "[A-Za-z0-9]{1,20}") {
            if let Ok(name) = Name::parse(&name) {
                let slug = Slug::of_name(&name);
                prop_assert_eq!(Slug::parse(slug.as_str()), Ok(slug.clone()));
                prop_assert!(!slug.as_str().contains("--"));
                let slug = Slug::of_name_with_ending(&name, &ending);
                prop_assert_eq!(Slug::parse(slug.as_str()), Ok(slug.clone()));
                prop_assert!(!slug.as_str().contains("--"));
            }
        }
    }

    #[test]
    fn a_slug_keeps_the_words_of_the_name() {
        let slug = |name| Name::parse(name).map(|name| Slug::of_name(&name).0);
        assert_eq!(slug("Café & Söhne, Inc."), Ok("cafe-sohne-inc".to_owned()));
        assert_eq!(slug("İstanbul Straße"), Ok("istanbul-strasse".to_owned()));
        assert_eq!(slug("Łódź Ltd"), Ok("lodz-ltd".to_owned()));
        assert_eq!(slug("Ørsted"), Ok("orsted".to_owned()));
        assert_eq!(slug("Æon"), Ok("aeon".to_owned()));
        assert_eq!(slug("O\u{2019}Brien"), Ok("o-brien".to_owned()));
        assert_eq!(slug("日本"), Ok("organization".to_owned()));
    }

    #[test]
    fn a_slug_is_no_encoded_name() {
        for text in ["xn--pple-43d", "xn--", "ab--cd", "12--3"] {
            assert!(Slug::parse(text).is_err(), "{text}");
        }
        for text in ["a--b", "abc--d", "xn-a", "ab-c", "ab", "abc"] {
            assert!(Slug::parse(text).is_ok(), "{text}");
        }
        let slug = |name| Name::parse(name).map(|name| Slug::of_name(&name).0);
        assert_eq!(slug("xn--pple-43d"), Ok("xn-pple-43d".to_owned()));
    }

    #[test]
    fn malformed_slugs_are_refused() {
        for text in ["", "-a", "a-", "A", "a_b", "a b", "ä", &"a".repeat(64)] {
            assert!(Slug::parse(text).is_err(), "{text:?}");
        }
    }
}
