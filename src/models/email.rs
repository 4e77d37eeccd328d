//! E-mail addresses, and their normalized form for uniqueness and lookup.

use std::borrow::Cow;

use idna::AsciiDenyList;

use super::{
    characters::{has_mixed_direction, is_forbidden, is_format, is_invisible, is_unstable},
    fold::canonical,
    stored::stored_as_is,
};

/// An address as its owner writes it, and its normalized form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    given: GivenEmail,
    normalized: NormalizedEmail,
}

/// An address as given, with its domain in ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenEmail(String);

/// A canonical address (see [`canonical`]). Two spellings with the same normalized form are the same address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalizedEmail(String);

/// A prefix of a normalized address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailPrefix(String);

impl Email {
    /// Maximum size in bytes: RFC 5321 section 4.5.3.1.3 less the angle brackets.
    pub const MAX_BYTES: usize = 254;
    /// Maximum size before the `@` in bytes: RFC 5321 section 4.5.3.1.1.
    const MAX_LOCAL_BYTES: usize = 64;

    /// Checks an address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > Self::MAX_BYTES {
            return Err("must have at most 254 bytes");
        }
        let (local, domain) = text.split_once('@').ok_or("must be an address: local@domain")?;
        let (folded, domain) = (canonical(local), ascii_domain(domain)?);
        // Folding can change the length and the characters (a full-width `＠` becomes `@`), so both forms are checked.
        Self::check_local(local)?;
        Self::check_local(&folded)?;
        Self::check_domain(&domain)?;
        let (given, normalized) = (format!("{local}@{domain}"), format!("{folded}@{}", domain.to_ascii_lowercase()));
        if given.len().max(normalized.len()) > Self::MAX_BYTES {
            return Err("must have at most 254 bytes");
        }
        Ok(Self { given: GivenEmail(given), normalized: NormalizedEmail(normalized) })
    }

    /// Checks what is before the `@`. Dots may be anywhere: there are providers that give out such addresses.
    fn check_local(local: &str) -> Result<(), &'static str> {
        if local.is_empty() || local.len() > Self::MAX_LOCAL_BYTES {
            return Err("must have 1 to 64 bytes before the @");
        }
        if local.chars().any(|c| c.is_whitespace() || is_forbidden(c) || "\"(),:;<>@[\\]".contains(c)) {
            return Err("must not contain spaces, control characters or any of \"(),:;<>@[\\] before the @");
        }
        if local.chars().any(|c| is_invisible(c) || is_format(c) || is_unstable(c)) {
            return Err("must not contain invisible, format, unassigned or private characters before the @");
        }
        if has_mixed_direction(local) {
            return Err("must not mix letters of both directions before the @");
        }
        Ok(())
    }

    fn check_domain(domain: &str) -> Result<(), &'static str> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !domain.split('.').all(label) {
            return Err("must have a domain name after the @: letters, digits, hyphens and dots");
        }
        Ok(())
    }

    /// The address as given, and its normalized form.
    pub fn into_parts(self) -> (GivenEmail, NormalizedEmail) {
        (self.given, self.normalized)
    }

    /// The normalized form.
    pub fn normalized(&self) -> &NormalizedEmail {
        &self.normalized
    }

    /// The address as given.
    pub fn as_str(&self) -> &str {
        &self.given.0
    }
}

/// A domain in ASCII: one in another script is converted to its `xn--` form by UTS 46, as browsers do.
fn ascii_domain(domain: &str) -> Result<Cow<'_, str>, &'static str> {
    if domain.is_ascii() {
        return Ok(Cow::Borrowed(domain));
    }
    let converted = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3);
    converted.map_err(|_| "must have a domain name after the @ that has an xn-- form")
}

impl GivenEmail {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NormalizedEmail {
    /// The normalized address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EmailPrefix {
    /// Normalizes a prefix of an address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > Email::MAX_BYTES {
            return Err("must have at most 254 bytes");
        }
        if text.chars().any(|c| is_forbidden(c) || is_invisible(c)) {
            return Err("must not contain control characters or invisible characters");
        }
        // A whole address is found as it is stored, with its domain in ASCII.
        match Email::parse(text) {
            Ok(email) => Ok(Self(email.normalized.0)),
            Err(_) => Ok(Self(canonical(text))),
        }
    }

    /// The normalized prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(GivenEmail);

stored_as_is!(NormalizedEmail);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_address_have_one_normal_form() {
        let normal = |text| Email::parse(text).map(|email| email.normalized.0);
        assert_eq!(normal("Ada@Example.COM"), normal("ada@example.com"));
        // The Kelvin sign and the letter k; a composed and a decomposed é.
        assert_eq!(normal("\u{212A}@x.org"), normal("k@x.org"));
        assert_eq!(normal("Ren\u{e9}@x.org"), normal("rene\u{301}@x.org"));
        assert_eq!(normal("ΝΙΚΟΣ@x.org"), normal("νικος@x.org"));
        assert_eq!(normal("STRASSE@x.org"), normal("stra\u{df}e@x.org"));
        assert_eq!(normal("\u{130}stanbul@x.org"), normal("istanbul@x.org"));
        assert_eq!(normal("ada@M\u{fc}nchen.de"), normal("ada@xn--mnchen-3ya.DE"));
        assert_eq!(Email::parse("Ada@M\u{fc}nchen.de").unwrap().as_str(), "Ada@xn--mnchen-3ya.de");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            " a@c",
            "a@c ",
            "a@-c",
            "a@c-",
            "a@c..d",
            "a@.c",
            "a\0@c",
            "a@\u{fc}..de",
            "a@\u{fc} b.de",
            "a@\u{200B}.de",
            "a@\u{fffd}.de",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@c", "a".repeat(65))).is_err());
        assert!(Email::parse("a\u{ff20}b@c").is_err());
    }

    #[test]
    fn addresses_that_look_like_another_are_refused() {
        for c in [
            '\u{200B}',
            '\u{200C}',
            '\u{200D}',
            '\u{AD}',
            '\u{2060}',
            '\u{FEFF}',
            '\u{FE0F}',
            '\u{3164}',
            '\u{2800}',
            '\u{200E}',
            '\u{600}',
            '\u{6DD}',
            '\u{FFF9}',
            '\u{FFFB}',
            '\u{FFFC}',
            '\u{13430}',
            '\u{13441}',
            '\u{16FE4}',
            '\u{1D159}',
        ] {
            assert!(Email::parse(&format!("a{c}b@example.com")).is_err(), "{c:?}");
        }
        for local in ["a\u{5d0}", "1\u{5d0}", "\u{378}", "\u{e000}"] {
            assert!(Email::parse(&format!("{local}@example.com")).is_err(), "{local:?}");
        }
        assert!(Email::parse("\u{5d0}\u{5d1}1@example.com").is_ok());
    }

    #[test]
    fn dots_may_be_anywhere_before_the_at() {
        for text in [".a@c", "a.@c", "a..b@c", "abc.@docomo.ne.jp"] {
            assert!(Email::parse(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_an_address_and_its_own_normal_form(text in "\\PC{1,10}@[a-zA-Z0-9]{1,10}\\.[a-z]{2,3}") {
            if let Ok(email) = Email::parse(&text) {
                let again = Email::parse(email.normalized.as_str());
                prop_assert_eq!(again.map(|again| again.normalized), Ok(email.normalized));
            }
        }
    }
}
