//! Short texts: names, messages and URLs.

use unicode_normalization::UnicodeNormalization as _;

use super::{
    characters::{is_forbidden, is_invisible, shown},
    fold::folded,
    stored::stored_as_is,
};

/// A display name: 1 to 200 characters in NFC, trimmed. Something in it is visible, and nothing invisible is in it without need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Maximum number of characters.
    pub const MAX_CHARS: usize = 200;

    /// Trims, normalizes and checks a name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // Checked before any other work, so that refusing a huge text is cheap.
        if text.len() > Self::MAX_CHARS * 4 {
            return Err("must have at most 200 characters");
        }
        let name: String = text.trim().nfc().collect();
        match name.chars().count() {
            0 => Err("must not be empty"),
            count if count > Self::MAX_CHARS => Err("must have at most 200 characters"),
            _ => shown(&name, &[]).map(|()| Self(name)),
        }
    }

    /// The form that searches compare.
    pub fn search_key(&self) -> SearchKey {
        SearchKey(folded(&self.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(Name);

/// A multi-line text: 1 to 1,000 characters in NFC, trimmed, with the rules of [`Name`] and with line feeds and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(String);

impl Lines {
    /// Maximum number of characters.
    pub const MAX_CHARS: usize = 1000;

    /// Trims, normalizes and checks a text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // Checked before any other work, so that refusing a huge text is cheap.
        if text.len() > Self::MAX_CHARS * 4 {
            return Err("must have at most 1,000 characters");
        }
        let lines: String = text.trim().nfc().collect();
        match lines.chars().count() {
            0 => Err("must not be empty"),
            count if count > Self::MAX_CHARS => Err("must have at most 1,000 characters"),
            _ => shown(&lines, &['\n', '\t']).map(|()| Self(lines)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(Lines);

/// The folded form of a name or of a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchKey(String);

impl SearchKey {
    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(SearchKey);

/// An upper bound, in byte order, of the texts that start with `prefix`.
pub fn prefix_end(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

/// An `http` or `https` URL of at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// Maximum size in bytes.
    pub const MAX_BYTES: usize = 2048;

    /// Checks a URL. It is stored as given.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > Self::MAX_BYTES {
            return Err("must have at most 2,048 bytes");
        }
        if text.chars().any(|c| c.is_whitespace() || is_forbidden(c) || is_invisible(c)) {
            return Err("must not contain spaces, control characters or invisible characters");
        }
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(text.to_owned())),
            _ => Err("must be an http or https URL"),
        }
    }

    /// The URL as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(WebUrl);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_that_parses_is_its_own_name(text in "\\PC{0,210}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(!name.as_str().is_empty() && name.as_str().chars().count() <= Name::MAX_CHARS);
            }
        }
    }

    #[test]
    fn a_name_without_a_visible_character_or_with_a_control_is_refused() {
        let long = ["x".repeat(201), "x".repeat(10_000_000)];
        for text in ["", "  ", "\u{200B}", "\u{3164}", "a\0b", "a\nb", "a\u{202E}b", &long[0], &long[1]] {
            assert!(Name::parse(text).is_err());
        }
    }

    #[test]
    fn only_web_urls_are_urls() {
        assert!(WebUrl::parse("https://example.com/a.png").is_ok());
        for text in ["javascript:alert(1)", "ftp://example.com", "https://", "//example.com", "https://a b"] {
            assert!(WebUrl::parse(text).is_err(), "{text}");
        }
    }
}
