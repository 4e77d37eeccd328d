//! Text formats of password hashes, as other systems store and export them.
//!
//! Each family of formats is a module. A reader names the format that it takes a text for, so that a refusal can name it, too.

mod crypt;
mod framework;
mod ldap;
mod phc;

use std::borrow::Cow;

use base64::{
    alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    expression::{Expression, Function},
    hash::{Hash, Step},
    scheme::Scheme,
};

/// The alphabet of PHC strings: base64 without padding.
pub(super) const BASE64: GeneralPurpose = engine(&alphabet::STANDARD);
/// The alphabet of passlib: the same with `.` for `+`.
const BASE64_DOT: GeneralPurpose =
    match alphabet::Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./") {
        Ok(alphabet) => engine(&alphabet),
        Err(_) => engine(&alphabet::STANDARD),
    };

const fn engine(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

/// A text that was recognized, and its hash.
pub(super) struct Recognized {
    /// The name of the format, as in `Django pbkdf2_sha256`.
    pub format: &'static str,
    /// The hash.
    pub hash: Hash,
}

/// Why a text is refused: what it looks like, if anything, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the format that it looks like.
    pub looks_like: Option<&'static str>,
    /// The rule, as in `must have a salt`.
    pub rule: Cow<'static, str>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.looks_like {
            Some(format) => write!(f, "looks like {format}: {}", self.rule),
            None => f.write_str(&self.rule),
        }
    }
}

pub(super) type Reading = Result<Recognized, Refusal>;

/// Reads a text in any of the formats.
pub(super) fn read(text: &str) -> Reading {
    if text.trim() != text || text.contains(char::is_control) {
        return Err(unknown("must not have blanks or control characters around or within it"));
    }
    let first = text.chars().next();
    let reading = match first {
        Some('$') => return with_id(text),
        Some('{') if text.starts_with("{\"") => framework::keycloak(text),
        Some('{') => ldap::read(text),
        _ => framework::read(text),
    };
    reading.unwrap_or_else(|| Err(unsupported(text)))
}

/// Reads a text with an identifier after `$`. Other formats contain such a text; none contains itself, so that the depth is bounded.
fn with_id(text: &str) -> Reading {
    phc::read(text).or_else(|| crypt::read(text)).unwrap_or_else(|| Err(unsupported(text)))
}

/// Names a format that is known and not accepted.
fn unsupported(text: &str) -> Refusal {
    let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let (looks_like, rule) = match text.len() {
        _ if text.starts_with("$gy$") => ("gost-yescrypt of crypt(3)", "is not supported"),
        _ if text.starts_with("$2$") || text.starts_with("$2x$") => {
            ("an obsolete bcrypt", "must be of the variants 2a, 2b or 2y")
        }
        _ if text.starts_with("$sha1$") => ("NetBSD's sha1crypt", "is not supported"),
        _ if text.starts_with("$md5") => ("Solaris' md5crypt", "is not supported"),
        _ if text.starts_with("SCRAM-SHA-256$") => ("a SCRAM verifier", "is not supported"),
        _ if text.starts_with("auth0:") => ("a hash with a prefix", "must be sent without `auth0:`"),
        _ if text.starts_with("{noop}")
            || text.to_ascii_uppercase().starts_with("{PLAIN")
            || text.to_ascii_uppercase().starts_with("{CLEAR") =>
        {
            ("a password in clear", "must be a hash")
        }
        13 if text.bytes().all(|b| value64(b).is_some()) => {
            ("DES crypt(3)", "is not supported, as it ignores all but 8 characters")
        }
        32 if is_hex => ("an unsalted MD5", "needs a recipe, as in `digest md5(password)`"),
        40 if is_hex => ("an unsalted SHA-1", "needs a recipe, as in `digest sha1(password)`"),
        64 if is_hex => ("an unsalted SHA-256", "needs a recipe, as in `digest sha256(password)`"),
        96 if is_hex => ("an unsalted SHA-384", "needs a recipe, as in `digest sha384(password)`"),
        128 if is_hex => ("an unsalted SHA-512", "needs a recipe, as in `digest sha512(password)`"),
        _ => return unknown("must be a hash in one of the formats in docs/importing.md"),
    };
    refusal(looks_like, rule)
}

fn unknown(rule: &'static str) -> Refusal {
    Refusal { looks_like: None, rule: rule.into() }
}

fn refusal(format: &'static str, rule: &'static str) -> Refusal {
    Refusal { looks_like: Some(format), rule: rule.into() }
}

/// The refusal of a text that has the form of a format, but not all of its parts.
fn malformed(format: &'static str) -> Refusal {
    refusal(format, "must have all parts of this format, correctly encoded")
}

/// A hash in a format.
#[expect(clippy::unnecessary_wraps, reason = "it ends most readers, which may refuse")]
fn recognized(format: &'static str, scheme: Scheme, salt: Vec<u8>, digest: Vec<u8>) -> Reading {
    Ok(Recognized { format, hash: Hash::new(scheme, salt, digest) })
}

/// A hash of an expression of the password.
fn prepared(reading: Reading, format: &'static str, before: Expression) -> Reading {
    let mut recognized = reading?;
    recognized.hash.steps.insert(0, Step::Expression(before));
    Ok(Recognized { format, ..recognized })
}

/// A format that another one is wrapped in, which names it better.
fn within(format: &'static str, reading: Reading) -> Reading {
    match reading {
        Ok(recognized) => Ok(Recognized { format, ..recognized }),
        Err(refused) => Err(Refusal { looks_like: Some(refused.looks_like.unwrap_or(format)), ..refused }),
    }
}

/// An expression of this program's own text.
fn expression(text: &'static str) -> Result<Expression, Refusal> {
    Expression::parse(text).map_err(unknown)
}

/// PBKDF2. Only the first block of the digest is compared: it depends on all rounds, and further blocks would take as long again.
fn pbkdf2(format: &'static str, function: Function, rounds: u32, salt: Vec<u8>, mut digest: Vec<u8>) -> Reading {
    if function == Function::Md5 {
        return Err(refusal(format, "must not use MD5"));
    }
    digest.truncate(function.bytes());
    recognized(format, Scheme::Pbkdf2 { function, rounds }, salt, digest)
}

/// Decodes hex digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// True if a text has only hex digits.
fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Decodes the base64 of crypt(3): `./0-9A-Za-z`, the lowest bits first.
fn uncrypt64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for c in text.bytes() {
        bits |= value64(c)? << count;
        count += 6;
        if count >= 8 {
            bytes.push(bits.to_le_bytes()[0]);
            bits >>= 8;
            count -= 8;
        }
    }
    Some(bytes)
}

/// The value of a character in the alphabet of crypt(3).
fn value64(c: u8) -> Option<u32> {
    let value = match c {
        b'.' => 0,
        b'/' => 1,
        b'0'..=b'9' => c - b'0' + 2,
        b'A'..=b'Z' => c - b'A' + 12,
        b'a'..=b'z' => c - b'a' + 38,
        _ => return None,
    };
    Some(value.into())
}

/// The numbers in a parameter list. `None` for unknown or repeated names.
fn params_of<const N: usize>(text: &str, names: [&str; N]) -> Option<[Option<u32>; N]> {
    let mut values = [None; N];
    for part in text.split(',') {
        let (name, value) = part.split_once('=')?;
        let at = names.iter().position(|known| *known == name)?;
        if values[at].replace(value.parse().ok()?).is_some() {
            return None;
        }
    }
    Some(values)
}
