//! Formats with the scheme in braces: LDAP servers, Dovecot, Atlassian and Spring Security.

use base64::Engine as _;

use super::{BASE64, BASE64_DOT, Reading, expression, is_hex, malformed, pbkdf2, recognized, refusal, unhex, with_id};
use crate::security::password::{expression::Function, scheme::Scheme};

/// Reads a text. `None` if its format is unknown.
pub(super) fn read(text: &str) -> Option<Reading> {
    let (scheme, rest) = text.strip_prefix('{')?.split_once('}')?;
    Some(match scheme.to_ascii_uppercase().as_str() {
        // What follows is a format of its own.
        "CRYPT"
        | "BCRYPT"
        | "BLF-CRYPT"
        | "SHA256-CRYPT"
        | "SHA512-CRYPT"
        | "MD5-CRYPT"
        | "ARGON2"
        | "ARGON2I"
        | "ARGON2ID"
        | "ARGON2@SPRINGSECURITY_V5_8"
        | "PHPASS" => with_id(rest),
        "LDAP" if !rest.to_ascii_uppercase().starts_with("{LDAP}") => return read(rest),
        "SHA" | "SHA1" => digest("LDAP's {SHA}", "sha1(password)", 20, rest),
        "MD5" if rest.starts_with('{') => spring_digest("md5(password+'{'+salt+'}')", rest)?,
        "SHA-1" if rest.starts_with('{') => spring_digest("sha1(password+'{'+salt+'}')", rest)?,
        "SHA-256" if rest.starts_with('{') => spring_digest("sha256(password+'{'+salt+'}')", rest)?,
        "MD5" => digest("LDAP's {MD5}", "md5(password)", 16, rest),
        "SHA256" => digest("LDAP's {SHA256}", "sha256(password)", 32, rest),
        "SHA384" => digest("LDAP's {SHA384}", "sha384(password)", 48, rest),
        "SHA512" => digest("LDAP's {SHA512}", "sha512(password)", 64, rest),
        "SSHA" => digest("LDAP's {SSHA}", "sha1(password+salt)", 20, rest),
        "SMD5" => digest("LDAP's {SMD5}", "md5(password+salt)", 16, rest),
        "SSHA256" => digest("LDAP's {SSHA256}", "sha256(password+salt)", 32, rest),
        "SSHA384" => digest("LDAP's {SSHA384}", "sha384(password+salt)", 48, rest),
        "SSHA512" => digest("LDAP's {SSHA512}", "sha512(password+salt)", 64, rest),
        "PKCS5S2" => atlassian(rest),
        "PBKDF2" if is_hex(rest) => spring_pbkdf2(8, Function::Sha1, 185_000, rest),
        "PBKDF2@SPRINGSECURITY_V5_8" => spring_pbkdf2(16, Function::Sha256, 310_000, rest),
        "PBKDF2" | "PBKDF2-SHA1" => openldap(Function::Sha1, rest),
        "PBKDF2-SHA256" if rest.contains('$') => openldap(Function::Sha256, rest),
        "PBKDF2-SHA512" if rest.contains('$') => openldap(Function::Sha512, rest),
        "PBKDF2_SHA256" | "PBKDF2-SHA256" => directory_server(Function::Sha256, rest),
        "PBKDF2-SHA512" => directory_server(Function::Sha512, rest),
        "SCRYPT" | "SCRYPT@SPRINGSECURITY_V5_8" => spring_scrypt(rest),
        _ => return None,
    })
}

/// A digest in base64, with the salt after it.
fn digest(format: &'static str, of: &'static str, length: usize, rest: &str) -> Reading {
    let expression = expression(of)?;
    // Spring Security writes hex digits.
    let hex = unhex(rest).filter(|bytes| bytes.len() == length);
    let Some(mut bytes) = hex.or_else(|| BASE64.decode(rest).ok()) else { return Err(malformed(format)) };
    if bytes.len() < length || (bytes.len() > length) != expression.is_salted() {
        return Err(malformed(format));
    }
    let salt = bytes.split_off(length);
    recognized(format, Scheme::Digest(expression), salt, bytes)
}

/// Spring Security's MessageDigestPasswordEncoder: `{salt}` and hex digits.
fn spring_digest(of: &'static str, rest: &str) -> Option<Reading> {
    let (salt, digest) = rest.strip_prefix('{')?.rsplit_once('}')?;
    let expression = match expression(of) {
        Ok(expression) => expression,
        Err(refused) => return Some(Err(refused)),
    };
    let format = "Spring Security's salted digest";
    let bytes = unhex(digest).filter(|bytes| matches!(bytes.len(), 16 | 20 | 32));
    Some(match bytes {
        Some(digest) => recognized(format, Scheme::Digest(expression), salt.as_bytes().to_vec(), digest),
        None => Err(malformed(format)),
    })
}

/// Spring Security's Pbkdf2PasswordEncoder: salt and digest in hex, with the parameters of its defaults.
fn spring_pbkdf2(salt: usize, function: Function, rounds: u32, rest: &str) -> Reading {
    const FORMAT: &str = "Spring Security's PBKDF2";
    let Some(mut salt_and_digest) = unhex(rest).filter(|bytes| bytes.len() == salt + 32) else {
        return Err(refusal(FORMAT, "must have the salt and digest of the encoder's defaults"));
    };
    let digest = salt_and_digest.split_off(salt);
    pbkdf2(FORMAT, function, rounds, salt_and_digest, digest)
}

/// Spring Security's SCryptPasswordEncoder: log N, r and p in one hexadecimal number.
fn spring_scrypt(rest: &str) -> Reading {
    const FORMAT: &str = "Spring Security's scrypt";
    let read = || {
        let [params, salt, digest] = rest.strip_prefix('$')?.split('$').collect::<Vec<_>>().try_into().ok()?;
        let [_, log_n, r, p] = u32::from_str_radix(params, 16).ok()?.to_be_bytes();
        let scheme = Scheme::Scrypt { log_n, r: r.into(), p: p.into() };
        Some(recognized(FORMAT, scheme, BASE64.decode(salt).ok()?, BASE64.decode(digest).ok()?))
    };
    read().unwrap_or_else(|| Err(malformed(FORMAT)))
}

/// Atlassian: 16 bytes of salt and 32 of digest in base64, 10,000 rounds.
fn atlassian(rest: &str) -> Reading {
    const FORMAT: &str = "Atlassian's PKCS5S2";
    match BASE64.decode(rest) {
        Ok(mut bytes) if bytes.len() == 48 => {
            let digest = bytes.split_off(16);
            pbkdf2(FORMAT, Function::Sha1, 10_000, bytes, digest)
        }
        _ => Err(malformed(FORMAT)),
    }
}

/// OpenLDAP's pw-pbkdf2: `rounds$salt$digest`, in the alphabet of passlib.
fn openldap(function: Function, rest: &str) -> Reading {
    const FORMAT: &str = "OpenLDAP's PBKDF2";
    let read = || {
        let [rounds, salt, digest] = rest.split('$').collect::<Vec<_>>().try_into().ok()?;
        let (salt, digest) = (BASE64_DOT.decode(salt).ok()?, BASE64_DOT.decode(digest).ok()?);
        Some(pbkdf2(FORMAT, function, rounds.parse().ok()?, salt, digest))
    };
    read().unwrap_or_else(|| Err(malformed(FORMAT)))
}

/// 389 Directory Server: rounds in 4 bytes, 64 of salt and the digest, in base64.
fn directory_server(function: Function, rest: &str) -> Reading {
    const FORMAT: &str = "389 Directory Server's PBKDF2";
    let read = || {
        let bytes = BASE64.decode(rest).ok()?;
        let (rounds, rest) = bytes.split_first_chunk::<4>()?;
        let (salt, digest) = rest.split_at_checked(64)?;
        Some(pbkdf2(FORMAT, function, u32::from_be_bytes(*rounds), salt.to_vec(), digest.to_vec()))
    };
    read().unwrap_or_else(|| Err(malformed(FORMAT)))
}
