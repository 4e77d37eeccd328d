//! E-mail addresses, and their normalized form for uniqueness and lookup.

use super::{
    stored::stored_as_is,
    text::{fold, is_forbidden},
};

/// An address as its owner writes it, and its normalized form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    given: GivenEmail,
    normalized: NormalizedEmail,
}

/// An address as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenEmail(String);

/// A folded address (NFKC, lower case). Two spellings with the same normalized form are the same address.
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
        let normalized = fold(text);
        // Folding can change the length and the structure (a full-width `＠` becomes `@`), so both forms are checked.
        Self::check(text)?;
        Self::check(&normalized)?;
        Ok(Self { given: GivenEmail(text.to_owned()), normalized: NormalizedEmail(normalized) })
    }

    fn check(text: &str) -> Result<(), &'static str> {
        let (local, domain) = text.split_once('@').ok_or("must be an address: local@domain")?;
        if text.len() > Self::MAX_BYTES {
            return Err("must have at most 254 bytes");
        }
        if local.is_empty() || local.len() > Self::MAX_LOCAL_BYTES {
            return Err("must have 1 to 64 bytes before the @");
        }
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return Err("must not begin or end with a dot, or have two in a row, before the @");
        }
        if local.chars().any(|c| c.is_whitespace() || is_forbidden(c) || "\"(),:;<>@[\\]".contains(c)) {
            return Err("must not contain spaces, control characters or any of \"(),:;<>@[\\] before the @");
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !domain.split('.').all(label) {
            return Err(
                "must have a domain of letters, digits and hyphens after the @; write others in their xn-- form",
            );
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
        if text.chars().any(is_forbidden) {
            return Err("must not contain control characters");
        }
        Ok(Self(fold(text)))
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
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", " a@c", "a@c ", "a@-c", "a@c-", "a@c..d", ".a@c", "a\0@c"]
        {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@c", "a".repeat(65))).is_err());
        assert!(Email::parse("a\u{ff20}b@c").is_err());
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
