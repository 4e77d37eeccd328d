//! The algorithms of password hashes, their cost, and the computation of a digest.

use aes::Aes256;
use argon2::{Algorithm, Argon2, AssociatedData, Block, KeyId, ParamsBuilder, Version};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::{
    cost::{Cost, Memory},
    expression::{Expression, Function},
    pepper::Peppers,
};

/// bcrypt ignores the password after this many bytes.
pub(super) const BCRYPT_BYTES: usize = 72;
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=31;
/// Bytes of a bcrypt digest.
const BCRYPT_DIGEST: usize = 23;

/// The algorithm of a hash and its parameters.
#[derive(Clone, Debug)]
pub(super) enum Scheme {
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        cost: Cost,
        pepper: Option<String>,
        data: Vec<u8>,
    },
    Bcrypt {
        cost: u32,
    },
    Scrypt {
        log_n: u8,
        r: u32,
        p: u32,
    },
    Pbkdf2 {
        function: Function,
        rounds: u32,
    },
    /// `$5$` and `$6$` of crypt(3).
    ShaCrypt {
        function: Function,
        rounds: u32,
    },
    Yescrypt(yescrypt::Params),
    /// `$1$` of crypt(3), and `$apr1$`.
    Md5Crypt {
        magic: &'static str,
    },
    /// phpass with MD5, and Drupal 7 with SHA-512: 2^n rounds.
    Phpass {
        function: Function,
        log_rounds: u8,
    },
    /// Firebase: the signer key, encrypted with a key that scrypt derives.
    Firebase {
        log_n: u8,
        r: u32,
        p: u32,
        separator: Vec<u8>,
        signer_key: Zeroizing<Vec<u8>>,
    },
    /// A digest, which anybody can compute quickly.
    Digest(Expression),
}

impl Scheme {
    /// CPU time of one digest in milliseconds, on one core of about 3 GHz. Measured with the release build, and rounded up.
    pub(super) fn millis(&self) -> u64 {
        let nanos = match self {
            Self::Argon2 { cost, .. } => cost.work().saturating_mul(1000),
            Self::Bcrypt { cost } => 1_u64.checked_shl(*cost).unwrap_or(u64::MAX).saturating_mul(70_000),
            Self::Scrypt { log_n, r, p } | Self::Firebase { log_n, r, p, .. } => {
                blocks(*log_n, *r, *p).saturating_mul(250)
            }
            Self::Pbkdf2 { function, rounds } => u64::from(*rounds) * nanos_of(*function),
            Self::ShaCrypt { function, rounds } => u64::from(*rounds) * nanos_of(*function) * 3 / 2,
            Self::Yescrypt(params) => {
                params.n().saturating_mul(params.r().into()).saturating_mul(params.p().into()).saturating_mul(500)
            }
            Self::Md5Crypt { .. } => 400_000,
            Self::Phpass { function, log_rounds } => {
                1_u64.checked_shl((*log_rounds).into()).unwrap_or(u64::MAX).saturating_mul(nanos_of(*function))
            }
            Self::Digest(expression) => expression.digests().saturating_mul(600),
        };
        nanos.div_ceil(1_000_000)
    }

    /// The memory that one digest needs, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        let bytes = match self {
            Self::Argon2 { cost, .. } => return cost.memory_kib,
            Self::Scrypt { log_n, r, .. } | Self::Firebase { log_n, r, .. } => {
                blocks(*log_n, *r, 1).saturating_mul(128)
            }
            Self::Yescrypt(params) => params.n().saturating_mul(u64::from(params.r())).saturating_mul(128),
            _ => 1024,
        };
        u32::try_from(bytes / 1024).unwrap_or(u32::MAX)
    }

    /// True if its digest can be guessed so quickly that it must not be stored as it is.
    pub(super) fn is_weak(&self) -> bool {
        match self {
            Self::Digest(_) | Self::Md5Crypt { .. } => true,
            Self::Phpass { function, .. } => *function == Function::Md5,
            // Fewer rounds than the first recommendation for PBKDF2, of the year 2000.
            Self::Pbkdf2 { rounds, .. } => *rounds < 1000,
            _ => false,
        }
    }

    /// True if it ignores a part of this password, as a digest of a trimmed text does.
    pub(super) fn ignores_part_of(&self, password: &[u8]) -> bool {
        matches!(self, Self::Digest(expression) if expression.ignores_part_of(password))
    }

    /// True if the algorithm supports these parameters.
    pub(super) fn is_possible(&self, salt: &[u8], digest: usize) -> bool {
        match self {
            Self::Argon2 { cost, data, .. } => {
                salt.len() >= argon2::MIN_SALT_LEN && params(*cost, digest, None, data).is_some()
            }
            Self::Bcrypt { cost } => BCRYPT_COSTS.contains(cost),
            Self::Scrypt { log_n, r, p } | Self::Firebase { log_n, r, p, .. } => {
                *log_n > 0 && scrypt::Params::new(*log_n, *r, *p).is_ok()
            }
            Self::Pbkdf2 { rounds, .. } => *rounds > 0,
            Self::ShaCrypt { rounds, .. } => sha_crypt::Params::new(*rounds).is_ok(),
            Self::Phpass { log_rounds, .. } => (7..=30).contains(log_rounds),
            Self::Yescrypt(_) | Self::Md5Crypt { .. } | Self::Digest(_) => true,
        }
    }

    /// The digest of a password, of `length` bytes. `None` if it cannot be computed, as without the pepper.
    pub(super) fn digest(
        &self,
        password: &[u8],
        salt: &[u8],
        length: usize,
        peppers: &Peppers,
        memory: &mut Memory,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut digest = Zeroizing::new(vec![0; length]);
        match self {
            Self::Argon2 { algorithm, version, cost, pepper, data } => {
                let params = params(*cost, length, pepper.as_deref(), data)?;
                let argon2 = match pepper {
                    None => Argon2::new(*algorithm, *version, params),
                    Some(id) => Argon2::new_with_secret(peppers.key(id)?, *algorithm, *version, params).ok()?,
                };
                let blocks: &mut [Block] = memory.of(argon2.params().block_count());
                argon2.hash_password_into_with_memory(password, salt, &mut digest, blocks).ok()?;
            }
            Self::Bcrypt { cost } => return bcrypt_of(password, *cost, salt.try_into().ok()?),
            Self::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(*log_n, *r, *p).ok()?;
                scrypt::scrypt(password, salt, &params, &mut digest).ok()?;
            }
            Self::Pbkdf2 { function, rounds } => match function {
                Function::Md5 => return None,
                Function::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, *rounds, &mut digest),
                Function::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, &mut digest),
                Function::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, *rounds, &mut digest),
                Function::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, *rounds, &mut digest),
            },
            Self::ShaCrypt { function, rounds } => {
                let params = sha_crypt::Params::new(*rounds).ok()?;
                return Some(Zeroizing::new(match function {
                    Function::Sha256 => sha_crypt::sha256_crypt(password, salt, params).to_vec(),
                    _ => sha_crypt::sha512_crypt(password, salt, params).to_vec(),
                }));
            }
            Self::Yescrypt(params) => yescrypt::yescrypt(password, salt, params, &mut digest).ok()?,
            Self::Md5Crypt { magic } => return Some(md5_crypt(password, salt, magic.as_bytes())),
            Self::Phpass { function, log_rounds } => match function {
                Function::Md5 => digest = phpass::<Md5>(password, salt, *log_rounds),
                _ => digest = phpass::<Sha512>(password, salt, *log_rounds),
            },
            Self::Firebase { log_n, r, p, separator, signer_key } => {
                let salt = [salt, separator].concat();
                let mut key = Zeroizing::new([0; 32]);
                let params = scrypt::Params::new(*log_n, *r, *p).ok()?;
                scrypt::scrypt(password, &salt, &params, &mut *key).ok()?;
                digest.clone_from(signer_key);
                Ctr128BE::<Aes256>::new(&(*key).into(), &[0; 16].into()).apply_keystream(&mut digest);
            }
            Self::Digest(expression) => digest = expression.of(password, salt)?,
        }
        // Some systems store only the first part.
        digest.truncate(length);
        Some(digest)
    }
}

/// Nanoseconds of one round of PBKDF2, two compressions.
fn nanos_of(function: Function) -> u64 {
    match function {
        Function::Md5 | Function::Sha1 => 150,
        Function::Sha256 => 300,
        Function::Sha384 | Function::Sha512 => 600,
    }
}

/// Blocks of 128 bytes that scrypt mixes.
fn blocks(log_n: u8, r: u32, p: u32) -> u64 {
    let n = if log_n < 32 { 1_u64 << log_n } else { u64::MAX };
    n.saturating_mul(r.into()).saturating_mul(p.into())
}

/// Parameters of Argon2. `None` if they are invalid.
pub(super) fn params(cost: Cost, output: usize, pepper: Option<&str>, data: &[u8]) -> Option<argon2::Params> {
    let mut builder = ParamsBuilder::new();
    builder.m_cost(cost.memory_kib).t_cost(cost.passes).p_cost(cost.lanes).output_len(output);
    if let Some(id) = pepper {
        builder.keyid(KeyId::new(id.as_bytes()).ok()?);
    }
    if !data.is_empty() {
        builder.data(AssociatedData::new(data).ok()?);
    }
    builder.build().ok()
}

/// The 23 bytes of a bcrypt digest. As bcrypt always did, it uses at most 72 bytes. A password with a NUL is refused, because it would
/// match the hash of the part before it.
fn bcrypt_of(password: &[u8], cost: u32, salt: [u8; 16]) -> Option<Zeroizing<Vec<u8>>> {
    if !BCRYPT_COSTS.contains(&cost) || password.contains(&0) {
        return None;
    }
    let mut key = Zeroizing::new(password.to_vec());
    key.push(0);
    key.truncate(BCRYPT_BYTES);
    let mut digest = Zeroizing::new(bcrypt::bcrypt(cost, salt, &key).to_vec());
    digest.truncate(BCRYPT_DIGEST);
    Some(digest)
}

/// phpass: the digest of salt and password, and again and again of the former digest and the password.
fn phpass<D: sha2::Digest>(password: &[u8], salt: &[u8], log_rounds: u8) -> Zeroizing<Vec<u8>> {
    let mut digest = D::new().chain_update(salt).chain_update(password).finalize();
    for _ in 0..1_u64 << log_rounds {
        digest = D::new().chain_update(&digest).chain_update(password).finalize();
    }
    Zeroizing::new(digest.to_vec())
}

/// `$1$` by Poul-Henning Kamp, and Apache's variant with another magic text: 1000 rounds of MD5.
fn md5_crypt(password: &[u8], salt: &[u8], magic: &[u8]) -> Zeroizing<Vec<u8>> {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for at in (0..password.len()).step_by(16) {
        outer.update(&inner[..16.min(password.len() - at)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        outer.update(if bits & 1 == 1 { &[0] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000 {
        let (first, last) = if round % 2 == 1 { (password, &digest[..]) } else { (&digest[..], password) };
        let mut next = Md5::new().chain_update(first);
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(last);
        digest = next.finalize();
    }
    Zeroizing::new(digest.to_vec())
}
