//! Settings of signing in.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{
    DatabaseArgs, LogArgs, SealingArgs,
    values::{ByteSize, DAY, SecretText, duration},
};
use crate::{
    models::SigningAlgorithm,
    security::{access_token::Parties, password},
};

/// Minimum hashing costs: memory in KiB and passes, all of equal strength (OWASP Password Storage Cheat Sheet).
pub(crate) const LEAST_COSTS: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// Settings of passwords, sessions and access tokens.
#[derive(Args, Clone, Debug)]
pub struct AuthenticationArgs {
    /// Issuer of access tokens, the `iss` claim. Use an https URL if other services find the keys through it
    #[arg(
        long,
        env = "TENANTRY_TOKEN_ISSUER",
        value_name = "TEXT",
        default_value = "tenantry",
        hide_env_values = true
    )]
    pub token_issuer: String,

    /// Audience of access tokens, the `aud` claim, which every verifier must check
    #[arg(
        long,
        env = "TENANTRY_TOKEN_AUDIENCE",
        value_name = "TEXT",
        default_value = "tenantry",
        hide_env_values = true
    )]
    pub token_audience: String,

    /// Lifetime of an access token, 1m to 1h
    #[arg(long, env = "TENANTRY_ACCESS_TOKEN_LIFE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<60_000, 3_600_000>)]
    pub access_token_life: Duration,

    /// Algorithm that signs access tokens, `ES256` or `EdDSA`. More libraries verify ES256. A change takes effect through a key rotation
    #[arg(
        long,
        env = "TENANTRY_SIGNING_ALGORITHM",
        value_name = "NAME",
        default_value = "ES256",
        hide_env_values = true
    )]
    pub signing_algorithm: AlgorithmName,

    /// How long a key signs before it is rotated, 1h to 3650d; 0s disables automatic rotation
    #[arg(long, env = "TENANTRY_SIGNING_KEY_LIFE", value_name = "DURATION", default_value = "30d", hide_env_values = true,
          value_parser = signing_key_life)]
    pub signing_key_life: Duration,

    /// Maximum number of sessions per user. One more ends the oldest; 0 means unlimited
    #[arg(long, env = "TENANTRY_MAX_SESSIONS", value_name = "COUNT", default_value_t = 100, hide_env_values = true)]
    pub max_sessions: u32,

    /// Minimum length of a new password in characters, 8 to 64. Go below 15 only if a second factor is required
    #[arg(long, env = "TENANTRY_PASSWORD_MIN_LENGTH", value_name = "COUNT", default_value_t = 15, hide_env_values = true,
          value_parser = clap::value_parser!(u8).range(8..=64))]
    pub password_min_length: u8,

    /// Comma-separated product names that are rejected as passwords
    #[arg(long, env = "TENANTRY_PRODUCT_NAMES", value_name = "NAMES", value_delimiter = ',', hide_env_values = true)]
    pub product_names: Vec<String>,

    /// Secret keys mixed into password hashes and kept out of the database: `ID:KEY[,ID:KEY..]`, each KEY 32 bytes in base64. New hashes
    /// use the first. A password cannot be verified without the key of its hash
    #[arg(long, env = "TENANTRY_PASSWORD_PEPPERS", value_name = "KEYS", hide_env_values = true)]
    pub password_peppers: Option<SecretText>,

    /// How other systems computed imported password hashes, one `NAME = RECIPE` a line; see docs/importing.md. A password cannot be verified
    /// without the recipe of its hash
    #[arg(long, env = "TENANTRY_PASSWORD_RECIPES", value_name = "TEXT", hide_env_values = true)]
    pub password_recipes: Option<SecretText>,

    /// Memory of a password hash (Argon2id). `tenantry hash calibrate` proposes a value
    #[arg(long, env = "TENANTRY_HASH_MEMORY", value_name = "SIZE", default_value = "19MiB", hide_env_values = true)]
    pub hash_memory: ByteSize,

    /// Number of passes of a password hash over its memory, 1 to 100
    #[arg(long, env = "TENANTRY_HASH_PASSES", value_name = "COUNT", default_value_t = 2, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub hash_passes: u32,

    /// Number of lanes of a password hash, 1 to 16, computed one after the other
    #[arg(long, env = "TENANTRY_HASH_LANES", value_name = "COUNT", default_value_t = 1, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=16))]
    pub hash_lanes: u32,

    /// Maximum memory of all concurrent password hashes. An imported hash that needs more is rejected
    #[arg(
        long,
        env = "TENANTRY_HASH_TOTAL_MEMORY",
        value_name = "SIZE",
        default_value = "256MiB",
        hide_env_values = true
    )]
    pub hash_total_memory: ByteSize,

    /// Maximum number of concurrent password hashes, within the memory limit; 0 means one per core
    #[arg(long, env = "TENANTRY_HASH_THREADS", value_name = "COUNT", default_value_t = 0, hide_env_values = true)]
    pub hash_threads: usize,

    /// Maximum wrong passwords per minute from one end-user address, as passed by platform admins; 0 means unlimited
    #[arg(
        long,
        env = "TENANTRY_MAX_FAILURES_PER_ADDRESS",
        value_name = "COUNT",
        default_value_t = 60,
        hide_env_values = true
    )]
    pub max_failures_per_address: u32,

    /// Maximum wrong passwords per minute from one caller that passes no end-user address or is not a platform admin; 0 means unlimited
    #[arg(
        long,
        env = "TENANTRY_MAX_FAILURES_PER_CALLER",
        value_name = "COUNT",
        default_value_t = 3000,
        hide_env_values = true
    )]
    pub max_failures_per_caller: u32,

    /// Lifetime of the tokens that verify or change an e-mail address, 1m to 30d
    #[arg(long, env = "TENANTRY_EMAIL_TOKEN_LIFE", value_name = "DURATION", default_value = "1d", hide_env_values = true,
          value_parser = duration::<60_000, { 30 * DAY }>)]
    pub email_token_life: Duration,

    /// Lifetime of a password reset token, 1m to 1h
    #[arg(long, env = "TENANTRY_PASSWORD_RESET_LIFE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<60_000, 3_600_000>)]
    pub password_reset_life: Duration,
}

/// Commands for signing keys.
#[derive(Debug, Subcommand)]
pub enum SigningKeysCommand {
    /// List the keys that verify access tokens now or later.
    List(Box<SigningKeysArgs>),
    /// Create a key that takes over signing after a delay. Earlier keys keep verifying until the last token they signed has expired.
    Rotate(Box<RotateArgs>),
}

/// Settings of `tenantry signing-keys list`.
#[derive(Args, Clone, Debug)]
pub struct SigningKeysArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The key ring.
    #[command(flatten)]
    pub sealing: SealingArgs,

    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Settings of `tenantry signing-keys rotate`.
#[derive(Args, Clone, Debug)]
pub struct RotateArgs {
    /// Delay before the new key signs, 0s to 7d. Must be longer than verifiers cache the JWK set
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::<0, { 7 * DAY }>)]
    pub lead: Duration,

    /// Retire all earlier keys at once, which invalidates every existing access token. For a compromised key
    #[arg(long)]
    pub revoke_former: bool,

    /// Algorithm of the new key, `ES256` or `EdDSA`; by default that of the newest key. The server replaces a key of another algorithm
    /// than its setting
    #[arg(long, env = "TENANTRY_SIGNING_ALGORITHM", value_name = "NAME", hide_env_values = true)]
    pub signing_algorithm: Option<AlgorithmName>,

    /// Location of the keys.
    #[command(flatten)]
    pub at: SigningKeysArgs,
}

/// Commands for hashing.
#[derive(Debug, Subcommand)]
pub enum HashCommand {
    /// Propose settings for this machine: the strongest whose hashes are fast enough.
    Calibrate(CalibrateArgs),
}

/// Settings of `tenantry hash calibrate`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CalibrateArgs {
    /// Maximum duration of a hash while all threads are hashing, 1ms to 10s
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration::<1, 10_000>)]
    pub target: Duration,

    /// Number of concurrent hashes; 0 means one per core
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub threads: usize,
}

impl CalibrateArgs {
    /// Number of concurrent hashes.
    pub fn threads(&self) -> usize {
        threads(self.threads)
    }
}

/// The number of threads; 0 means one per core.
pub(crate) fn threads(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

/// Name of a signing algorithm, as in the `alg` header of tokens.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AlgorithmName {
    /// Ed25519.
    #[value(name = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    #[value(name = "ES256")]
    Es256,
}

impl From<AlgorithmName> for SigningAlgorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::EdDsa => Self::EdDsa,
            AlgorithmName::Es256 => Self::Es256,
        }
    }
}

fn signing_key_life(text: &str) -> Result<Duration, String> {
    // The minimum exceeds the time that two keys overlap.
    let life = duration::<0, { 3650 * DAY }>(text)?;
    if life.is_zero() || life >= Duration::from_hours(1) {
        Ok(life)
    } else {
        Err("must be 0s, or 1h to 3650d".to_owned())
    }
}

impl AuthenticationArgs {
    /// The issuer and the audience of tokens.
    ///
    /// # Errors
    /// If one is blank, too long or contains control characters. Without an audience, a token would be valid anywhere.
    pub fn parties(&self) -> Result<Parties, String> {
        for (name, text) in [("--token-issuer", &self.token_issuer), ("--token-audience", &self.token_audience)] {
            if text.trim().is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
                return Err(format!(
                    "{name} must have 1 to 255 bytes, not all of them spaces, and no control characters"
                ));
            }
        }
        Ok(Parties { issuer: self.token_issuer.clone(), audience: self.token_audience.clone() })
    }

    /// The rules for new passwords.
    pub fn password_policy(&self) -> password::Policy {
        let names = self.product_names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        password::Policy { min_chars: self.password_min_length.into(), product_names: names.collect() }
    }
}
