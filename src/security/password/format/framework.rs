//! The formats of web frameworks and applications.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    BASE64, Reading, crypt, expression, is_hex, malformed, pbkdf2, prepared, recognized, refusal, unhex, with_id,
    within,
};
use crate::security::password::{cost::Cost, expression::Function, scheme::Scheme};
use argon2::{Algorithm, Version};

/// Reads a text. `None` if its format is unknown.
pub(super) fn read(text: &str) -> Option<Reading> {
    let dollars: Vec<&str> = text.split('$').collect();
    let colons: Vec<&str> = text.split(':').collect();
    match dollars.as_slice() {
        // Django.
        ["argon2", ""] => return None,
        ["argon2", "argon2id" | "argon2i" | "argon2d", ..] => {
            return Some(within("Django's Argon2", with_id(text.strip_prefix("argon2")?)));
        }
        ["bcrypt", "", ..] => return Some(within("Django's bcrypt", with_id(text.strip_prefix("bcrypt$")?))),
        ["bcrypt_sha256", "", "2a" | "2b" | "2y", cost, rest] => {
            const FORMAT: &str = "Django's bcrypt_sha256";
            let inner = crypt::bcrypt(cost, rest).unwrap_or_else(|| Err(malformed(FORMAT)));
            let before = match expression("hex(sha256(password))") {
                Ok(before) => before,
                Err(refused) => return Some(Err(refused)),
            };
            return Some(prepared(within(FORMAT, inner), FORMAT, before));
        }
        [scheme @ ("pbkdf2_sha1" | "pbkdf2_sha256" | "pbkdf2_sha384" | "pbkdf2_sha512"), rounds, salt, digest] => {
            return Some(django_pbkdf2(scheme, rounds, salt, digest));
        }
        ["scrypt", n, salt, r, p, digest] => {
            return Some(django_scrypt(n, salt, r, p, digest).unwrap_or_else(|| Err(malformed("Django's scrypt"))));
        }
        [scheme @ ("md5" | "sha1"), salt, digest] => return Some(django_digest(scheme, salt, digest)),
        // werkzeug.
        [scheme, salt, digest] if scheme.starts_with("scrypt:") || scheme.starts_with("pbkdf2:") => {
            return Some(werkzeug(scheme, salt, digest).unwrap_or_else(|| Err(malformed("werkzeug"))));
        }
        [scheme @ ("sha256" | "sha512"), salt, digest] => return Some(werkzeug_hmac(scheme, salt, digest)),
        // Gitea: the algorithm's text, the salt and the digest.
        ["pbkdf2" | "pbkdf2_v2", rounds, length, salt, digest] => {
            return Some(gitea(rounds, length, salt, digest).unwrap_or_else(|| Err(malformed("Gitea's PBKDF2"))));
        }
        // Drupal 7, updated from Drupal 6: of the hex digits of an MD5.
        ["U", "S", rest] => {
            let inner = crypt::drupal(rest).unwrap_or_else(|| Err(malformed("Drupal 7")));
            let before = match expression("hex(md5(password))") {
                Ok(before) => before,
                Err(refused) => return Some(Err(refused)),
            };
            return Some(prepared(inner, "Drupal 7, updated from Drupal 6", before));
        }
        _ => {}
    }
    // Nextcloud: a version before the hash.
    if let Some((version, rest)) = text.split_once('|')
        && matches!(version, "1" | "2" | "3")
    {
        return Some(within("Nextcloud", with_id(rest)));
    }
    if let Some(rest) = text.strip_prefix("grub.pbkdf2.sha512.") {
        return Some(grub(rest).unwrap_or_else(|| Err(malformed("GRUB's PBKDF2"))));
    }
    match colons.as_slice() {
        ["", "pbkdf2", function, rounds, length, salt, digest] => {
            const FORMAT: &str = "MediaWiki's PBKDF2";
            return Some(mediawiki(function, rounds, length, salt, digest).unwrap_or_else(|| Err(malformed(FORMAT))));
        }
        ["", "B", salt, digest] => {
            return Some(digest_of("MediaWiki's salted MD5", "md5(salt+'-'+hex(md5(password)))", salt, digest));
        }
        ["", "A", digest] => return Some(digest_of("MediaWiki's MD5", "md5(password)", "", digest)),
        // Magento 2: a digest in hex, a salt, and versions.
        [digest, salt, "0"] => return Some(digest_of("Magento's MD5", "md5(salt+password)", salt, digest)),
        [digest, salt, "1"] => return Some(digest_of("Magento's SHA-256", "sha256(salt+password)", salt, digest)),
        [digest, salt, version] if *version == "2" || version.starts_with("3_") => {
            return Some(magento(digest, salt, version).unwrap_or_else(|| Err(malformed("Magento's Argon2"))));
        }
        // Lucia 2, then Lucia 3 and better-auth: the salt's text is used.
        ["s2", salt, key] => return Some(scrypt_of("Lucia", 14, 16, salt, key)),
        [salt, key] if is_hex(salt) && is_hex(key) && key.len() == 128 => {
            return Some(scrypt_of("better-auth and Lucia", 14, 16, salt, key));
        }
        [salt, key] if is_hex(salt) && is_hex(key) && key.len() == 1024 => {
            const FORMAT: &str = "passport-local-mongoose";
            let digest = unhex(key)?;
            return Some(pbkdf2(FORMAT, Function::Sha256, 25_000, salt.as_bytes().to_vec(), digest));
        }
        [key, salt] if is_hex(key) && matches!(key.len(), 32 | 40 | 64) && !salt.is_empty() => {
            return Some(Err(refusal("a salted digest", "needs a recipe that says how the salt is used")));
        }
        _ => {}
    }
    // Node's crypto.scrypt, as in many courses: key, then salt.
    if let Some((key, salt)) = text.split_once('.')
        && is_hex(key)
        && key.len() == 128
        && is_hex(salt)
    {
        return Some(scrypt_of("Node's scrypt", 14, 8, salt, key));
    }
    if let Some(digest) = text.strip_prefix('*').filter(|digest| digest.len() == 40) {
        return Some(digest_of("MySQL's native password", "sha1(sha1(password))", "", digest));
    }
    let bytes = STANDARD.decode(text).ok()?;
    aspnet(&bytes)
}

/// Django's PBKDF2: the salt is plain text. The digest has the length of the function's.
fn django_pbkdf2(scheme: &str, rounds: &str, salt: &str, digest: &str) -> Reading {
    let (format, function) = match scheme {
        "pbkdf2_sha1" => ("Django's pbkdf2_sha1", Function::Sha1),
        "pbkdf2_sha256" => ("Django's pbkdf2_sha256", Function::Sha256),
        "pbkdf2_sha384" => ("Django's pbkdf2_sha384", Function::Sha384),
        _ => ("Django's pbkdf2_sha512", Function::Sha512),
    };
    if is_hex(digest) && digest.len() == 2 * function.bytes() {
        return Err(refusal(format, "has hex digits where base64 is wanted"));
    }
    match (rounds.parse(), BASE64.decode(digest)) {
        (Ok(rounds), Ok(digest)) if digest.len() == function.bytes() => {
            pbkdf2(format, function, rounds, salt.as_bytes().to_vec(), digest)
        }
        (Ok(_), Ok(_)) => Err(refusal(format, "must have a digest of the function's length")),
        _ => Err(malformed(format)),
    }
}

fn django_scrypt(n: &str, salt: &str, r: &str, p: &str, digest: &str) -> Option<Reading> {
    let n: u32 = n.parse().ok().filter(|n: &u32| n.is_power_of_two())?;
    let scheme = Scheme::Scrypt { log_n: u8::try_from(n.ilog2()).ok()?, r: r.parse().ok()?, p: p.parse().ok()? };
    Some(recognized("Django's scrypt", scheme, salt.as_bytes().to_vec(), BASE64.decode(digest).ok()?))
}

fn django_digest(scheme: &str, salt: &str, digest: &str) -> Reading {
    match scheme {
        "md5" => digest_of("Django's MD5", "md5(salt+password)", salt, digest),
        _ => digest_of("Django's SHA-1", "sha1(salt+password)", salt, digest),
    }
}

/// A digest in hex.
fn digest_of(format: &'static str, of: &'static str, salt: &str, digest: &str) -> Reading {
    let expression = expression(of)?;
    let length = expression.bytes();
    match unhex(digest) {
        Some(digest) if Some(digest.len()) == length => {
            recognized(format, Scheme::Digest(expression), salt.as_bytes().to_vec(), digest)
        }
        _ => Err(malformed(format)),
    }
}

/// `scrypt:N:r:p$salt$hex` or `pbkdf2:function:rounds$salt$hex`; the salt is plain text.
fn werkzeug(scheme: &str, salt: &str, digest: &str) -> Option<Reading> {
    let (salt, digest) = (salt.as_bytes().to_vec(), unhex(digest)?);
    match scheme.split(':').collect::<Vec<_>>().as_slice() {
        ["scrypt", n, r, p] => {
            let n: u32 = n.parse().ok().filter(|n: &u32| n.is_power_of_two())?;
            let scheme =
                Scheme::Scrypt { log_n: u8::try_from(n.ilog2()).ok()?, r: r.parse().ok()?, p: p.parse().ok()? };
            Some(recognized("werkzeug's scrypt", scheme, salt, digest))
        }
        ["pbkdf2", function, rounds] => {
            Some(pbkdf2("werkzeug's PBKDF2", Function::named(function)?, rounds.parse().ok()?, salt, digest))
        }
        _ => None,
    }
}

/// Old werkzeug: an HMAC whose key is the salt.
fn werkzeug_hmac(scheme: &str, salt: &str, digest: &str) -> Reading {
    match scheme {
        "sha256" => digest_of("werkzeug's SHA-256", "hmac_sha256(salt, password)", salt, digest),
        _ => digest_of("werkzeug's SHA-512", "hmac_sha512(salt, password)", salt, digest),
    }
}

fn gitea(rounds: &str, length: &str, salt: &str, digest: &str) -> Option<Reading> {
    let digest = unhex(digest).filter(|digest| length.parse() == Ok(digest.len()))?;
    // Old salts are ten characters of text.
    let salt = if salt.len() == 10 { salt.as_bytes().to_vec() } else { unhex(salt)? };
    Some(pbkdf2("Gitea's PBKDF2", Function::Sha256, rounds.parse().ok()?, salt, digest))
}

fn grub(rest: &str) -> Option<Reading> {
    let [rounds, salt, digest] = rest.split('.').collect::<Vec<_>>().try_into().ok()?;
    Some(pbkdf2("GRUB's PBKDF2", Function::Sha512, rounds.parse().ok()?, unhex(salt)?, unhex(digest)?))
}

fn mediawiki(function: &str, rounds: &str, length: &str, salt: &str, digest: &str) -> Option<Reading> {
    let digest = BASE64.decode(digest).ok().filter(|digest| length.parse() == Ok(digest.len()))?;
    let function = Function::named(function)?;
    Some(pbkdf2("MediaWiki's PBKDF2", function, rounds.parse().ok()?, BASE64.decode(salt).ok()?, digest))
}

/// Argon2id by libsodium, which uses the first 16 bytes of the salt: `2`, or `3_bytes_passes_memory`.
fn magento(digest: &str, salt: &str, version: &str) -> Option<Reading> {
    let digest = unhex(digest)?;
    let (passes, bytes) = match version.split('_').collect::<Vec<_>>().as_slice() {
        ["2"] => (2, 67_108_864),
        ["3", length, passes, memory] if length.parse() == Ok(digest.len()) => {
            (passes.parse().ok()?, memory.parse::<u32>().ok()?)
        }
        _ => return None,
    };
    let cost = Cost { memory_kib: bytes / 1024, passes, lanes: 1 };
    let salt = salt.as_bytes().get(..16)?.to_vec();
    let scheme = argon2id(cost);
    Some(recognized("Magento's Argon2", scheme, salt, digest))
}

fn argon2id(cost: Cost) -> Scheme {
    Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost, pepper: None, data: Vec::new() }
}

/// scrypt with a salt that is used as text.
fn scrypt_of(format: &'static str, log_n: u8, r: u32, salt: &str, key: &str) -> Reading {
    match unhex(key) {
        Some(digest) => recognized(format, Scheme::Scrypt { log_n, r, p: 1 }, salt.as_bytes().to_vec(), digest),
        None => Err(malformed(format)),
    }
}

/// ASP.NET Core Identity: version 2 has fixed parameters, version 3 names them.
fn aspnet(bytes: &[u8]) -> Option<Reading> {
    match bytes.split_first()? {
        (0, rest) if rest.len() == 48 => {
            let (salt, digest) = rest.split_at_checked(16)?;
            Some(pbkdf2("ASP.NET Identity 2", Function::Sha1, 1000, salt.to_vec(), digest.to_vec()))
        }
        (1, rest) => {
            let (numbers, rest) = rest.split_at_checked(12)?;
            let number = |at: usize| Some(u32::from_be_bytes(numbers.get(at..at + 4)?.try_into().ok()?));
            let function = match number(0)? {
                0 => Function::Sha1,
                1 => Function::Sha256,
                2 => Function::Sha512,
                _ => return None,
            };
            let (salt, digest) = rest.split_at_checked(usize::try_from(number(8)?).ok()?)?;
            if digest.len() < 16 {
                return None;
            }
            Some(pbkdf2("ASP.NET Identity 3", function, number(4)?, salt.to_vec(), digest.to_vec()))
        }
        _ => None,
    }
}

/// A credential of Keycloak's export of a realm, as JSON.
pub(super) fn keycloak(text: &str) -> Option<Reading> {
    const FORMAT: &str = "Keycloak's credential";
    let credential: Value = serde_json::from_str(text).ok()?;
    let part = |name: &str| -> Option<Value> {
        match credential.get(name)? {
            Value::String(text) => serde_json::from_str(text).ok(),
            value => Some(value.clone()),
        }
    };
    let read = || {
        let (secret, data) = (part("secretData")?, part("credentialData")?);
        let digest = BASE64.decode(secret.get("value")?.as_str()?).ok()?;
        let salt = BASE64.decode(secret.get("salt")?.as_str()?).ok()?;
        let rounds = u32::try_from(data.get("hashIterations")?.as_u64()?).ok()?;
        let algorithm = data.get("algorithm")?.as_str()?;
        if algorithm == "argon2" {
            let more = data.get("additionalParameters")?;
            let text = |name: &str| more.get(name)?.get(0)?.as_str();
            let cost = Cost {
                memory_kib: text("memory")?.parse().ok()?,
                passes: rounds,
                lanes: text("parallelism")?.parse().ok()?,
            };
            let algorithm = match text("type")? {
                "id" => Algorithm::Argon2id,
                "i" => Algorithm::Argon2i,
                "d" => Algorithm::Argon2d,
                _ => return None,
            };
            let version = if text("version")? == "1.0" { Version::V0x10 } else { Version::V0x13 };
            let scheme = Scheme::Argon2 { algorithm, version, cost, pepper: None, data: Vec::new() };
            return Some(recognized(FORMAT, scheme, salt, digest));
        }
        let function = match algorithm.strip_prefix("pbkdf2")? {
            "" => Function::Sha1,
            name => Function::named(name.strip_prefix('-')?)?,
        };
        Some(pbkdf2(FORMAT, function, rounds, salt, digest))
    };
    Some(read().unwrap_or_else(|| Err(malformed(FORMAT))))
}
