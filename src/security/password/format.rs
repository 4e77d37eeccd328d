//! Text formats of password hashes: PHC strings, and those of bcrypt, passlib and Django.

use argon2::{Algorithm, Version};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::hash::{Cost, Hash, Prf, Scheme};

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

/// Parses a hash in any of the formats.
pub(super) fn read(text: &str) -> Option<Hash> {
    match text.split('$').collect::<Vec<_>>().as_slice() {
        ["", variant @ ("argon2id" | "argon2i" | "argon2d"), rest @ ..] => read_argon2(variant, rest),
        ["", "2a" | "2b" | "2y", cost, rest] => read_bcrypt(cost, rest),
        ["", "scrypt", params, salt, digest] => {
            let [log_n, r, p] = params_of(params, ["ln", "r", "p"])?;
            let scheme = Scheme::Scrypt { log_n: u8::try_from(log_n?).ok()?, r: r?, p: p? };
            Some(Hash { scheme, salt: BASE64.decode(salt).ok()?, digest: BASE64.decode(digest).ok()? })
        }
        ["", scheme, params, salt, digest] => {
            let prf = Prf::named(scheme.strip_prefix("pbkdf2")?.strip_prefix('-').unwrap_or("sha1"))?;
            // passlib writes the bare number and its own alphabet, PHC names the parameter.
            let (rounds, base64) = if let Ok(rounds) = params.parse() {
                (rounds, BASE64_DOT)
            } else {
                let [rounds, _length] = params_of(params, ["i", "l"])?;
                (rounds?, BASE64)
            };
            let scheme = Scheme::Pbkdf2 { prf, rounds };
            Some(Hash { scheme, salt: base64.decode(salt).ok()?, digest: base64.decode(digest).ok()? })
        }
        // Django: the salt is plain text.
        [scheme, rounds, salt, digest] => {
            let prf = Prf::named(scheme.strip_prefix("pbkdf2_")?)?;
            let scheme = Scheme::Pbkdf2 { prf, rounds: rounds.parse().ok()? };
            Some(Hash { scheme, salt: salt.as_bytes().to_vec(), digest: BASE64.decode(digest).ok()? })
        }
        _ => None,
    }
}

/// Parses `[v=..] m=..,t=..,p=..[,keyid=..][,data=..] salt digest`. A missing version means the first one.
fn read_argon2(variant: &str, rest: &[&str]) -> Option<Hash> {
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
    Some(Hash { scheme, salt: BASE64.decode(salt).ok()?, digest: BASE64.decode(digest).ok()? })
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

/// Parses a bcrypt hash, whose alphabet has the same characters in another order.
fn read_bcrypt(cost: &str, rest: &str) -> Option<Hash> {
    let (salt, digest) = rest.split_at_checked(22)?;
    let base64 = engine(&alphabet::BCRYPT);
    let (salt, digest) = (base64.decode(salt).ok()?, base64.decode(digest).ok()?);
    let cost = if cost.len() == 2 { cost.parse().ok()? } else { return None };
    (salt.len() == 16 && digest.len() == 23).then_some(Hash { scheme: Scheme::Bcrypt { cost }, salt, digest })
}
