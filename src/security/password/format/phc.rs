//! PHC strings, and the formats of passlib and others that resemble them: `$scheme$params$salt$digest`.

use argon2::{Algorithm, Version};
use base64::Engine as _;

use super::{BASE64, BASE64_DOT, Reading, is_hex, malformed, params_of, pbkdf2, prepared, recognized, refusal};
use crate::security::password::{
    cost::Cost,
    expression::{Expression, Function},
    scheme::Scheme,
};

/// Reads a text. `None` if its format is unknown.
pub(super) fn read(text: &str) -> Option<Reading> {
    let parts: Vec<&str> = text.split('$').collect();
    match parts.as_slice() {
        ["", variant @ ("argon2id" | "argon2i" | "argon2d"), rest @ ..] => {
            Some(argon2(variant, rest).unwrap_or_else(|| Err(malformed("Argon2"))))
        }
        ["", "scrypt", params, salt, digest] => {
            Some(scrypt(params, salt, digest).unwrap_or_else(|| Err(malformed("scrypt as a PHC string"))))
        }
        ["", "fbscrypt", params, salt, digest] => {
            Some(firebase(params, salt, digest).unwrap_or_else(|| Err(malformed("Firebase's scrypt"))))
        }
        ["", "bcrypt-sha256", params, salt, digest] => {
            Some(bcrypt_sha256(params, salt, digest).unwrap_or_else(|| Err(malformed("passlib's bcrypt_sha256"))))
        }
        ["", scheme, params, salt, digest] if scheme.starts_with("pbkdf2") => {
            Some(pbkdf2_of(scheme, params, salt, digest).unwrap_or_else(|| Err(malformed("PBKDF2 as a PHC string"))))
        }
        _ => None,
    }
}

/// Parses `[v=..] m=..,t=..,p=..[,keyid=..][,data=..] salt digest`. A missing version means the first one.
fn argon2(variant: &str, rest: &[&str]) -> Option<Reading> {
    let (version, [all, salt, digest]) = match rest {
        [version, params, salt, digest] => (version.strip_prefix("v=")?.parse().ok()?, [*params, *salt, *digest]),
        [params, salt, digest] => (16_u32, [*params, *salt, *digest]),
        _ => return None,
    };
    let algorithm = match variant {
        "argon2id" => Algorithm::Argon2id,
        "argon2i" => Algorithm::Argon2i,
        _ => Algorithm::Argon2d,
    };
    let (mut pepper, mut data, mut numbers) = (None, Vec::new(), Vec::new());
    for part in all.split(',') {
        match part.split_once('=')? {
            ("keyid", id) => pepper = Some(String::from_utf8(BASE64.decode(id).ok()?).ok()?),
            ("data", text) => data = BASE64.decode(text).ok()?,
            _ => numbers.push(part),
        }
    }
    let [memory_kib, passes, lanes] = params_of(&numbers.join(","), ["m", "t", "p"])?;
    let cost = Cost { memory_kib: memory_kib?, passes: passes?, lanes: lanes? };
    let version = Version::try_from(version).ok()?;
    let scheme = Scheme::Argon2 { algorithm, version, cost, pepper, data };
    Some(recognized("Argon2", scheme, BASE64.decode(salt).ok()?, BASE64.decode(digest).ok()?))
}

fn scrypt(params: &str, salt: &str, digest: &str) -> Option<Reading> {
    let [ln, r, p] = params_of(params, ["ln", "r", "p"])?;
    let n = ln?;
    // Ory Kratos writes N itself.
    let log_n = if n >= 64 { n.is_power_of_two().then(|| n.ilog2())? } else { n };
    let scheme = Scheme::Scrypt { log_n: u8::try_from(log_n).ok()?, r: r?, p: p? };
    Some(recognized("scrypt as a PHC string", scheme, BASE64.decode(salt).ok()?, BASE64.decode(digest).ok()?))
}

fn pbkdf2_of(scheme: &str, params: &str, salt: &str, digest: &str) -> Option<Reading> {
    const PHC: &str = "PBKDF2 as a PHC string";
    let name = scheme.strip_prefix("pbkdf2")?;
    // Mattermost names the function among the parameters.
    let mut function = None;
    let mut numbers = Vec::new();
    for part in params.split(',') {
        match part.strip_prefix("f=") {
            Some(name) if function.is_none() => function = Some(Function::named(&name.to_ascii_lowercase())?),
            _ => numbers.push(part),
        }
    }
    let function = match (function, name.strip_prefix('-')) {
        (Some(function), None) if name.is_empty() => function,
        (None, Some(name)) => Function::named(name)?,
        // passlib's name for SHA-1.
        (None, None) if name.is_empty() => Function::Sha1,
        _ => return None,
    };
    if let Ok(rounds) = params.parse() {
        // passlib writes the bare number and its own alphabet.
        return Some(pbkdf2(
            "PBKDF2 of passlib",
            function,
            rounds,
            BASE64_DOT.decode(salt).ok()?,
            BASE64_DOT.decode(digest).ok()?,
        ));
    }
    let [i, w, l] = params_of(&numbers.join(","), ["i", "w", "l"])?;
    let rounds = i.or(w)?;
    let decoded = BASE64.decode(digest).ok()?;
    if l.is_some_and(|length| usize::try_from(length).ok() != Some(decoded.len())) {
        let rule = if is_hex(digest) && l.is_some_and(|length| usize::try_from(length).ok() == Some(digest.len() / 2)) {
            "has hex digits where base64 is wanted"
        } else {
            "must have a digest of the length that it names"
        };
        return Some(Err(refusal(PHC, rule)));
    }
    Some(pbkdf2(PHC, function, rounds, BASE64.decode(salt).ok()?, decoded))
}

/// `$fbscrypt$v=1,n=14,r=8,p=1,ss=..,sk=..$salt$digest`, as Supabase writes it.
fn firebase(params: &str, salt: &str, digest: &str) -> Option<Reading> {
    let (mut separator, mut key, mut numbers) = (None, None, Vec::new());
    for part in params.split(',') {
        match part.split_once('=')? {
            ("ss", text) => separator = Some(BASE64.decode(text).ok()?),
            ("sk", text) => key = Some(BASE64.decode(text).ok()?),
            _ => numbers.push(part),
        }
    }
    let [version, n, r, p] = params_of(&numbers.join(","), ["v", "n", "r", "p"])?;
    if version != Some(1) {
        return None;
    }
    let (separator, signer_key) = (separator?, zeroize::Zeroizing::new(key?));
    let scheme = Scheme::Firebase { log_n: u8::try_from(n?).ok()?, r: r?, p: p?, separator, signer_key };
    Some(recognized("Firebase's scrypt", scheme, BASE64.decode(salt).ok()?, BASE64.decode(digest).ok()?))
}

/// `$bcrypt-sha256$v=2,t=2b,r=12$salt$digest` of passlib 1.7.3 and `$bcrypt-sha256$2b,12$salt$digest` before.
fn bcrypt_sha256(params: &str, salt: &str, digest: &str) -> Option<Reading> {
    const FORMAT: &str = "passlib's bcrypt_sha256";
    let (variant, cost, before) = if let Some(rest) = params.strip_prefix("v=2,") {
        let (variant, cost) = rest.strip_prefix("t=")?.split_once(",r=")?;
        (variant, cost, format!("base64(hmac_sha256('{salt}', password))"))
    } else {
        let (variant, cost) = params.split_once(',')?;
        (variant, cost, "base64(sha256(password))".to_owned())
    };
    let cost: u32 = cost.parse().ok()?;
    let inner = super::crypt::bcrypt(&format!("{cost:02}"), &format!("{salt}{digest}"))
        .filter(|_| matches!(variant, "2a" | "2b"))?;
    Some(prepared(inner, FORMAT, Expression::parse(&before).ok()?))
}
