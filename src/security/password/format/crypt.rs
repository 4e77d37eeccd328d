//! The formats of crypt(3), and those of PHP applications that follow them: `$id$..`.

use base64::{Engine as _, alphabet};

use super::{Reading, engine, expression, malformed, prepared, recognized, uncrypt64, value64, within};
use crate::security::password::{expression::Function, scheme::Scheme};

/// Rounds of `$5$` and `$6$` if none are given.
const ROUNDS: u32 = 5000;
/// Minimum rounds: crypt(3) raises fewer to this number.
const LEAST_ROUNDS: u32 = 1000;
/// Places of the digest's bytes in the encoded text, in reverse (Drepper, "Unix crypt using SHA-256 and SHA-512").
const SHA256_ORDER: [usize; 32] = [
    20, 10, 0, 11, 1, 21, 2, 22, 12, 23, 13, 3, 14, 4, 24, 5, 25, 15, 26, 16, 6, 17, 7, 27, 8, 28, 18, 29, 19, 9, 30,
    31,
];
const SHA512_ORDER: [usize; 64] = [
    42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26, 5, 47, 48, 27, 6, 7, 49, 28, 29, 8, 50, 51, 30, 9, 10,
    52, 31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15, 16, 58, 37, 38, 17, 59, 60, 39, 18, 19, 61, 40,
    41, 20, 62, 63,
];
const MD5_ORDER: [usize; 16] = [12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11];

/// Reads a text. `None` if its format is unknown.
pub(super) fn read(text: &str) -> Option<Reading> {
    let parts: Vec<&str> = text.split('$').collect();
    match parts.as_slice() {
        ["", "2a" | "2b" | "2y", cost, rest] => Some(bcrypt(cost, rest).unwrap_or_else(|| Err(malformed("bcrypt")))),
        ["", "wp", "2y" | "2a" | "2b", cost, rest] => Some(wordpress(cost, rest)),
        ["", "P" | "H", rest] => Some(phpass(rest).unwrap_or_else(|| Err(malformed("phpass of WordPress and phpBB")))),
        ["", "S", rest] => Some(drupal(rest).unwrap_or_else(|| Err(malformed("Drupal 7")))),
        ["", "1", salt, digest] => Some(md5_crypt("crypt(3) with MD5", "$1$", salt, digest)),
        ["", "apr1", salt, digest] => Some(md5_crypt("Apache's MD5", "$apr1$", salt, digest)),
        ["", "5", rest @ ..] => Some(
            sha_crypt("crypt(3) with SHA-256", Function::Sha256, &SHA256_ORDER, rest)
                .unwrap_or_else(|| Err(malformed("crypt(3) with SHA-256"))),
        ),
        ["", "6", rest @ ..] => Some(
            sha_crypt("crypt(3) with SHA-512", Function::Sha512, &SHA512_ORDER, rest)
                .unwrap_or_else(|| Err(malformed("crypt(3) with SHA-512"))),
        ),
        ["", "y", params, salt, digest] => {
            Some(yescrypt(params, salt, digest).unwrap_or_else(|| Err(malformed("yescrypt"))))
        }
        ["", "7", params, digest] => {
            Some(scrypt(params, digest).unwrap_or_else(|| Err(malformed("crypt(3) with scrypt"))))
        }
        _ => None,
    }
}

/// bcrypt, whose base64 has the same characters in another order.
pub(super) fn bcrypt(cost: &str, rest: &str) -> Option<Reading> {
    let (salt, digest) = rest.split_at_checked(22)?;
    let base64 = engine(&alphabet::BCRYPT);
    let (salt, digest) = (base64.decode(salt).ok()?, base64.decode(digest).ok()?);
    let cost = if cost.len() == 2 { cost.parse().ok()? } else { return None };
    let is_whole = salt.len() == 16 && digest.len() == 23;
    is_whole.then(|| recognized("bcrypt", Scheme::Bcrypt { cost }, salt, digest))
}

/// WordPress 6.8: bcrypt of an HMAC, so that long passwords count.
fn wordpress(cost: &str, rest: &str) -> Reading {
    const FORMAT: &str = "WordPress 6.8";
    let inner = bcrypt(cost, rest).unwrap_or_else(|| Err(malformed(FORMAT)));
    prepared(within(FORMAT, inner), FORMAT, expression("base64(hmac_sha384('wp-sha384', trim(password)))")?)
}

/// A character for the rounds, 8 of salt, and the digest.
fn phpass(rest: &str) -> Option<Reading> {
    let (log_rounds, salt, digest) = parts(rest)?;
    let digest = uncrypt64(digest).filter(|digest| digest.len() == 16)?;
    let scheme = Scheme::Phpass { function: Function::Md5, log_rounds };
    Some(recognized("phpass of WordPress and phpBB", scheme, salt.as_bytes().to_vec(), digest))
}

/// The same with SHA-512; the text is cut off at 55 characters.
pub(super) fn drupal(rest: &str) -> Option<Reading> {
    let (log_rounds, salt, digest) = parts(rest)?;
    let digest = uncrypt64(digest).filter(|digest| digest.len() == 32)?;
    let scheme = Scheme::Phpass { function: Function::Sha512, log_rounds };
    Some(recognized("Drupal 7", scheme, salt.as_bytes().to_vec(), digest))
}

fn parts(rest: &str) -> Option<(u8, &str, &str)> {
    let log_rounds = u8::try_from(value64(*rest.as_bytes().first()?)?).ok()?;
    let (salt, digest) = rest.get(1..)?.split_at_checked(8)?;
    Some((log_rounds, salt, digest))
}

fn md5_crypt(format: &'static str, magic: &'static str, salt: &str, digest: &str) -> Reading {
    let ordered = uncrypt64(digest).and_then(|bytes| in_order(&bytes, &MD5_ORDER));
    match ordered {
        Some(digest) if salt.len() <= 8 => {
            recognized(format, Scheme::Md5Crypt { magic }, salt.as_bytes().to_vec(), digest)
        }
        _ => Err(malformed(format)),
    }
}

fn sha_crypt(format: &'static str, function: Function, order: &[usize], rest: &[&str]) -> Option<Reading> {
    let (rounds, salt, digest) = match rest {
        [salt, digest] => (ROUNDS, salt, digest),
        [rounds, salt, digest] => (rounds.strip_prefix("rounds=")?.parse().ok()?, salt, digest),
        _ => return None,
    };
    let digest = in_order(&uncrypt64(digest)?, order)?;
    let salt = salt.as_bytes().get(..salt.len().min(16))?.to_vec();
    Some(recognized(format, Scheme::ShaCrypt { function, rounds: rounds.max(LEAST_ROUNDS) }, salt, digest))
}

/// Puts the bytes of a digest back in their order.
fn in_order(encoded: &[u8], order: &[usize]) -> Option<Vec<u8>> {
    let mut digest = vec![0; order.len()];
    for (byte, place) in encoded.iter().zip(order) {
        *digest.get_mut(*place)? = *byte;
    }
    (encoded.len() == order.len()).then_some(digest)
}

fn yescrypt(params: &str, salt: &str, digest: &str) -> Option<Reading> {
    let params: yescrypt::Params = params.parse().ok()?;
    // crypt(3) uses no other mode, and no further passes, whose cost would be unknown.
    if yescrypt::Params::new(yescrypt::Mode::default(), params.n(), params.r(), params.p()) != Ok(params) {
        return None;
    }
    let (salt, digest) = (uncrypt64(salt)?, uncrypt64(digest)?);
    Some(recognized("yescrypt", Scheme::Yescrypt(params), salt, digest))
}

/// `$7$`: a character for log N, five each for r and p, and the salt, whose text is used.
fn scrypt(params: &str, digest: &str) -> Option<Reading> {
    let number = |text: &str| {
        let values = text.bytes().zip([0_u32, 6, 12, 18, 24]);
        values.map(|(c, shift)| value64(c)?.checked_shl(shift)).try_fold(0_u32, |sum, part| sum.checked_add(part?))
    };
    let log_n = u8::try_from(value64(*params.as_bytes().first()?)?).ok()?;
    let (r, p) = (number(params.get(1..6)?)?, number(params.get(6..11)?)?);
    let salt = params.get(11..)?.as_bytes().to_vec();
    Some(recognized("crypt(3) with scrypt", Scheme::Scrypt { log_n, r, p }, salt, uncrypt64(digest)?))
}
