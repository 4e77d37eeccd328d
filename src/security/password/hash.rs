//! Password hashes: ours, Argon2id as a PHC string, and imported ones. The cost of a stored hash is bounded before it is computed.

use argon2::{Algorithm, Argon2, Block, KeyId, ParamsBuilder, Version};
use base64::Engine as _;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::format::{self, BASE64};
use crate::{models::PasswordHash, security::random};

/// Sizes, in bytes, of new salts and digests (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// Accepted sizes, in bytes, of imported salts and digests.
const MAX_SALT: usize = 128;
const DIGEST: std::ops::RangeInclusive<usize> = 16..=128;
/// Maximum length of a hash.
const MAX_TEXT: usize = 512;
/// Maximum work of a hash: about half a second on a slow core. For Argon2 in KiB times passes, or that of a new hash if it is more; for
/// scrypt in blocks times lanes, for bcrypt its cost, for PBKDF2 its rounds.
const MAX_ARGON2: u64 = 1 << 20;
const MAX_SCRYPT: u64 = 1 << 21;
/// bcrypt ignores the password after this many bytes.
const BCRYPT_BYTES: usize = 72;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
const MAX_ROUNDS: u32 = 2_000_000;

/// The cost of a new hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Number of passes over the memory.
    pub passes: u32,
    /// Number of lanes.
    pub lanes: u32,
}

impl Cost {
    /// Its work in KiB times passes.
    fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }
}

/// Limits on the cost of a hash.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// The cost of a new hash, which is within the limits whatever its work.
    pub cost: Cost,
}

/// Working memory for one hash at a time. It grows as needed and is kept.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Its size in KiB.
    pub fn kib(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn of(&mut self, kib: usize) -> &mut [Block] {
        if self.0.len() < kib {
            // Not grown in place, which would copy the old blocks.
            self.0 = Vec::new();
            self.0.resize(kib, Block::default());
        }
        &mut self.0[..kib]
    }
}

/// Secret keys mixed into hashes, stored in no database. New hashes use the first one; each hash names its own.
#[derive(Clone, Default)]
pub struct Peppers(Vec<(String, Zeroizing<Vec<u8>>)>);

impl std::fmt::Debug for Peppers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Peppers {
    /// Parses `id:key[,id:key..]`: each id 1 to 8 of `a-z`, `0-9`, each key 32 bytes in base64. The error describes the problem without any
    /// part of a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut peppers: Vec<(String, Zeroizing<Vec<u8>>)> = Vec::new();
        for (at, entry) in (1..).zip(text.trim().split(',')) {
            let (id, key) = entry.trim().split_once(':').ok_or(format!("entry {at} is not id:key"))?;
            let is_word = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !(1..=8).contains(&id.len()) || !is_word {
                return Err(format!("the id of entry {at} must have 1 to 8 characters of a-z and 0-9"));
            }
            if peppers.iter().any(|(other, _)| other == id) {
                return Err(format!("the id of entry {at} occurs twice"));
            }
            let key = BASE64.decode(key).map_err(|_| format!("the key of entry {at} is not base64"))?;
            if key.len() != 32 {
                return Err(format!("the key of entry {at} does not have 32 bytes"));
            }
            peppers.push((id.to_owned(), Zeroizing::new(key)));
        }
        Ok(Self(peppers))
    }

    fn first_id(&self) -> Option<&str> {
        self.0.first().map(|(id, _)| id.as_str())
    }

    fn key(&self, id: &str) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| other == id).map(|(_, key)| key.as_slice())
    }
}

/// A parsed hash whose cost is within limits.
#[derive(Clone)]
pub struct Hash {
    pub(super) scheme: Scheme,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

/// The algorithm of a hash and its parameters.
#[derive(Clone)]
pub(super) enum Scheme {
    Argon2 { algorithm: Algorithm, version: Version, cost: Cost, pepper: Option<String>, data: Vec<u8> },
    Bcrypt { cost: u32 },
    Scrypt { log_n: u8, r: u32, p: u32 },
    Pbkdf2 { prf: Prf, rounds: u32 },
}

/// The hash function that PBKDF2 iterates.
#[derive(Clone, Copy)]
pub(super) enum Prf {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// Parses a hash: Argon2, scrypt and PBKDF2 as PHC strings, PBKDF2 also in the formats of passlib and Django, and bcrypt. The error is
    /// the rule that it breaks.
    pub fn parse(text: &str, limits: Limits) -> Result<Self, &'static str> {
        if text.len() > MAX_TEXT {
            return Err("must have at most 512 bytes");
        }
        let hash = format::read(text).ok_or(
            "must be a PHC string of Argon2, scrypt or PBKDF2, a PBKDF2 hash of passlib or Django, or a bcrypt hash 2a, 2b or 2y",
        )?;
        hash.is_bounded(limits)?;
        Ok(hash)
    }

    /// A random hash that no known password matches, with the cost of a new one.
    pub fn decoy(cost: Cost) -> Self {
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        Self {
            scheme: Scheme::Argon2 { algorithm, version, cost, pepper: None, data: Vec::new() },
            salt: random::bytes::<SALT_BYTES>().to_vec(),
            digest: random::bytes::<DIGEST_BYTES>().to_vec(),
        }
    }

    fn is_bounded(&self, limits: Limits) -> Result<(), &'static str> {
        if self.salt.len() > MAX_SALT || !DIGEST.contains(&self.digest.len()) {
            return Err("must have a salt of at most 128 bytes and a hash of 16 to 128 bytes");
        }
        let is_light = match self.scheme {
            Scheme::Argon2 { cost, .. } => cost.work() <= MAX_ARGON2.max(limits.cost.work()),
            Scheme::Bcrypt { cost } => BCRYPT_COSTS.contains(&cost),
            Scheme::Scrypt { log_n, r, p } => {
                let blocks = 1_u64.checked_shl(log_n.into()).filter(|_| log_n < 32).unwrap_or(u64::MAX);
                blocks.saturating_mul(r.into()).saturating_mul(p.into()) <= MAX_SCRYPT
            }
            Scheme::Pbkdf2 { rounds, .. } => (1..=MAX_ROUNDS).contains(&rounds),
        };
        if !is_light || self.memory_kib() > limits.memory_kib {
            return Err("must take no more memory and work than this server allows for a hash");
        }
        // Parameters that the algorithm does not support.
        let is_possible = match &self.scheme {
            Scheme::Argon2 { cost, data, .. } => {
                self.salt.len() >= argon2::MIN_SALT_LEN && params(*cost, self.digest.len(), None, data).is_some()
            }
            Scheme::Scrypt { log_n, r, p } => *log_n > 0 && scrypt::Params::new(*log_n, *r, *p).is_ok(),
            Scheme::Bcrypt { .. } | Scheme::Pbkdf2 { .. } => true,
        };
        if is_possible { Ok(()) } else { Err("must have parameters that its algorithm supports") }
    }

    /// The memory needed to verify it, in KiB.
    pub fn memory_kib(&self) -> u32 {
        match self.scheme {
            Scheme::Argon2 { cost, .. } => cost.memory_kib,
            Scheme::Scrypt { log_n, r, .. } => {
                let bytes = 1_u64.checked_shl(log_n.into()).unwrap_or(u64::MAX).saturating_mul(128 * u64::from(r));
                u32::try_from(bytes / 1024).unwrap_or(u32::MAX)
            }
            Scheme::Bcrypt { .. } | Scheme::Pbkdf2 { .. } => 1,
        }
    }

    /// True if [`make`] would create it with the same settings.
    pub fn is_current(&self, now: Cost, peppers: &Peppers) -> bool {
        match &self.scheme {
            Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost, pepper, .. } => {
                *cost == now && pepper.as_deref() == peppers.first_id() && self.salt.len() >= SALT_BYTES
            }
            _ => false,
        }
    }

    /// True if no other password can match this hash. bcrypt ignores everything after the first 72 bytes, so a matching password of that
    /// length or more may differ from the one that was hashed.
    pub fn identifies(&self, password: &[u8]) -> bool {
        !matches!(self.scheme, Scheme::Bcrypt { .. }) || password.len() < BCRYPT_BYTES
    }

    /// True if a password matches. False if the pepper is unknown.
    pub fn verify(&self, password: &[u8], peppers: &Peppers, memory: &mut Memory) -> bool {
        let mut digest = Zeroizing::new(vec![0; self.digest.len()]);
        let is_made = match &self.scheme {
            Scheme::Argon2 { algorithm, version, cost, pepper, data } => {
                let secret = pepper.as_deref().map(|id| peppers.key(id));
                params(*cost, digest.len(), pepper.as_deref(), data).is_some_and(|params| {
                    let argon2 = match secret {
                        None => Some(Argon2::new(*algorithm, *version, params)),
                        Some(None) => None,
                        Some(Some(key)) => Argon2::new_with_secret(key, *algorithm, *version, params).ok(),
                    };
                    argon2.is_some_and(|argon2| {
                        let blocks = memory.of(argon2.params().block_count());
                        argon2.hash_password_into_with_memory(password, &self.salt, &mut digest, blocks).is_ok()
                    })
                })
            }
            Scheme::Bcrypt { cost } => match <[u8; 16]>::try_from(self.salt.as_slice()) {
                Ok(salt) => match bcrypt_of(password, *cost, salt) {
                    Some(computed) => {
                        digest.copy_from_slice(&computed);
                        true
                    }
                    None => false,
                },
                Err(_) => false,
            },
            Scheme::Scrypt { log_n, r, p } => scrypt::Params::new(*log_n, *r, *p)
                .is_ok_and(|params| scrypt::scrypt(password, &self.salt, &params, &mut digest).is_ok()),
            Scheme::Pbkdf2 { prf, rounds } => {
                match prf {
                    Prf::Sha1 => pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password, &self.salt, *rounds, &mut digest),
                    Prf::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, &self.salt, *rounds, &mut digest),
                    Prf::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, *rounds, &mut digest),
                }
                true
            }
        };
        is_made && digest.ct_eq(&self.digest).into()
    }
}

impl Prf {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// Hashes a password with a new salt.
pub fn make(password: &[u8], cost: Cost, peppers: &Peppers, memory: &mut Memory) -> Option<PasswordHash> {
    let salt = random::bytes::<SALT_BYTES>();
    let mut digest = [0; DIGEST_BYTES];
    let pepper = peppers.0.first();
    let params = params(cost, DIGEST_BYTES, pepper.map(|(id, _)| id.as_str()), &[])?;
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let argon2 = match pepper {
        None => Argon2::new(algorithm, version, params),
        Some((_, key)) => Argon2::new_with_secret(key, algorithm, version, params).ok()?,
    };
    let blocks = memory.of(argon2.params().block_count());
    argon2.hash_password_into_with_memory(password, &salt, &mut digest, blocks).ok()?;
    let keyid = pepper.map(|(id, _)| format!(",keyid={}", BASE64.encode(id))).unwrap_or_default();
    Some(PasswordHash::new(format!(
        "$argon2id$v=19$m={},t={},p={}{keyid}${}${}",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        BASE64.encode(salt),
        BASE64.encode(digest),
    )))
}

fn params(cost: Cost, output: usize, pepper: Option<&str>, data: &[u8]) -> Option<argon2::Params> {
    let mut builder = ParamsBuilder::new();
    builder.m_cost(cost.memory_kib).t_cost(cost.passes).p_cost(cost.lanes).output_len(output);
    if let Some(id) = pepper {
        builder.keyid(KeyId::new(id.as_bytes()).ok()?);
    }
    if !data.is_empty() {
        builder.data(argon2::AssociatedData::new(data).ok()?);
    }
    builder.build().ok()
}

/// The 23 bytes of a bcrypt digest. As bcrypt always did, it uses at most 72 bytes. A password with a NUL is refused, because it would
/// match the hash of the part before it.
fn bcrypt_of(password: &[u8], cost: u32, salt: [u8; 16]) -> Option<[u8; 23]> {
    if !BCRYPT_COSTS.contains(&cost) || password.contains(&0) {
        return None;
    }
    let mut key = Zeroizing::new(password.to_vec());
    key.push(0);
    key.truncate(BCRYPT_BYTES);
    let digest = bcrypt::bcrypt(cost, salt, &key);
    let mut computed = [0; 23];
    computed.copy_from_slice(&digest[..23]);
    Some(computed)
}
