//! The settings of signing in.

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

/// The weakest costs that are taken: memory in KiB and passes (OWASP Password Storage Cheat Sheet). They are of equal strength.
pub(crate) const LEAST_COSTS: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// Settings of passwords, sessions and access tokens.
#[derive(Args, Clone, Debug)]
pub struct AuthenticationArgs {
    /// Who makes access tokens: their `iss`. An https URL where other services look up the keys by it
    #[arg(
        long,
        env = "TENANTRY_TOKEN_ISSUER",
        value_name = "TEXT",
        default_value = "tenantry",
        hide_env_values = true
    )]
    pub token_issuer: String,

    /// The audience of access tokens, their `aud`, which every verifier must check
    #[arg(
        long,
        env = "TENANTRY_TOKEN_AUDIENCE",
        value_name = "TEXT",
        default_value = "tenantry",
        hide_env_values = true
    )]
    pub token_audience: String,

    /// How long an access token lasts, 1m to 1h
    #[arg(long, env = "TENANTRY_ACCESS_TOKEN_LIFE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<60_000, 3_600_000>)]
    pub access_token_life: Duration,

    /// How access tokens are signed, `EdDSA` or `ES256`; another one is taken over as when keys are replaced
    #[arg(
        long,
        env = "TENANTRY_SIGNING_ALGORITHM",
        value_name = "NAME",
        default_value = "EdDSA",
        hide_env_values = true
    )]
    pub signing_algorithm: AlgorithmName,

    /// How long a key signs before the next one does, 1h to 3650d; 0s for as long as nobody replaces it
    #[arg(long, env = "TENANTRY_SIGNING_KEY_LIFE", value_name = "DURATION", default_value = "30d", hide_env_values = true,
          value_parser = signing_key_life)]
    pub signing_key_life: Duration,

    /// How many sessions a user may have; one more ends the oldest; 0 for any number
    #[arg(long, env = "TENANTRY_MAX_SESSIONS", value_name = "COUNT", default_value_t = 100, hide_env_values = true)]
    pub max_sessions: u32,

    /// Fewest characters of a new password, 8 to 64; fewer than 15 only beside a second factor
    #[arg(long, env = "TENANTRY_PASSWORD_MIN_LENGTH", value_name = "COUNT", default_value_t = 15, hide_env_values = true,
          value_parser = clap::value_parser!(u8).range(8..=64))]
    pub password_min_length: u8,

    /// Names of the product, separated by commas, that no password may be
    #[arg(long, env = "TENANTRY_PRODUCT_NAMES", value_name = "NAMES", value_delimiter = ',', hide_env_values = true)]
    pub product_names: Vec<String>,

    /// Keys that go into every new hash of a password and are in no database: `ID:KEY[,ID:KEY..]`, each KEY 32 bytes in base64; the
    /// first one goes into new hashes. Without the key of a hash its password cannot be used
    #[arg(long, env = "TENANTRY_PASSWORD_PEPPERS", value_name = "KEYS", hide_env_values = true)]
    pub password_peppers: Option<SecretText>,

    /// Memory of a hash of a password (Argon2id); `tenantry hash calibrate` proposes figures
    #[arg(long, env = "TENANTRY_HASH_MEMORY", value_name = "SIZE", default_value = "19MiB", hide_env_values = true)]
    pub hash_memory: ByteSize,

    /// Passes of a hash over its memory
    #[arg(long, env = "TENANTRY_HASH_PASSES", value_name = "COUNT", default_value_t = 2, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub hash_passes: u32,

    /// Lanes of a hash, which are filled one after the other
    #[arg(long, env = "TENANTRY_HASH_LANES", value_name = "COUNT", default_value_t = 1, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=16))]
    pub hash_lanes: u32,

    /// Memory of all hashes at once; also the most that a hash may take that is brought over
    #[arg(
        long,
        env = "TENANTRY_HASH_TOTAL_MEMORY",
        value_name = "SIZE",
        default_value = "256MiB",
        hide_env_values = true
    )]
    pub hash_total_memory: ByteSize,

    /// How many hashes are made at once, as far as the memory goes; 0 for as many as there are cores
    #[arg(long, env = "TENANTRY_HASH_THREADS", value_name = "COUNT", default_value_t = 0, hide_env_values = true)]
    pub hash_threads: usize,

    /// How many wrong passwords and tokens a minute are taken from one address that callers tell; 0 for any number
    #[arg(
        long,
        env = "TENANTRY_MAX_FAILURES_PER_ADDRESS",
        value_name = "COUNT",
        default_value_t = 60,
        hide_env_values = true
    )]
    pub max_failures_per_address: u32,

    /// How many wrong passwords a minute are taken from one caller that tells no address; 0 for any number
    #[arg(
        long,
        env = "TENANTRY_MAX_FAILURES_PER_CALLER",
        value_name = "COUNT",
        default_value_t = 3000,
        hide_env_values = true
    )]
    pub max_failures_per_caller: u32,

    /// How long the tokens to verify and to change an e-mail work, 1m to 30d
    #[arg(long, env = "TENANTRY_EMAIL_TOKEN_LIFE", value_name = "DURATION", default_value = "1d", hide_env_values = true,
          value_parser = duration::<60_000, { 30 * DAY }>)]
    pub email_token_life: Duration,

    /// How long the token to reset a password works, 1m to 1h
    #[arg(long, env = "TENANTRY_PASSWORD_RESET_LIFE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<60_000, 3_600_000>)]
    pub password_reset_life: Duration,
}

/// What can be done about signing keys.
#[derive(Debug, Subcommand)]
pub enum SigningKeysCommand {
    /// List the keys that verify access tokens now, or will.
    List(Box<SigningKeysArgs>),
    /// Make another key, which signs from some time on; those before it verify until the last token that they signed has expired.
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
    /// After how long the new key signs, 0s to 7d: longer than verifiers cache the JWK set
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::<0, { 7 * DAY }>)]
    pub lead: Duration,

    /// End the keys before it at once, and with them every access token there is: for a key that others may have
    #[arg(long)]
    pub revoke_former: bool,

    /// How it signs, `EdDSA` or `ES256`; the same as the setting of the server, which would replace another one
    #[arg(
        long,
        env = "TENANTRY_SIGNING_ALGORITHM",
        value_name = "NAME",
        default_value = "EdDSA",
        hide_env_values = true
    )]
    pub signing_algorithm: AlgorithmName,

    /// Where the keys are.
    #[command(flatten)]
    pub at: SigningKeysArgs,
}

/// What can be measured of hashing.
#[derive(Debug, Subcommand)]
pub enum HashCommand {
    /// Propose settings for this machine: the strongest with which a hash is fast enough.
    Calibrate(CalibrateArgs),
}

/// Settings of `tenantry hash calibrate`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CalibrateArgs {
    /// How long a hash may take while all threads hash, 1ms to 10s
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration::<1, 10_000>)]
    pub target: Duration,

    /// How many hashes are made at once; 0 for as many as there are cores
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub threads: usize,
}

impl CalibrateArgs {
    /// How many hashes are made at once.
    pub fn threads(&self) -> usize {
        threads(self.threads)
    }
}

/// As many as there are cores, unless a setting says otherwise.
pub(crate) fn threads(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}

/// The name of a signing algorithm, as tokens have it.
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
    // Longer than two of them are known at once.
    let life = duration::<0, { 3650 * DAY }>(text)?;
    if life.is_zero() || life >= Duration::from_hours(1) {
        Ok(life)
    } else {
        Err("must be 0s, or 1h to 3650d".to_owned())
    }
}

impl AuthenticationArgs {
    /// Who makes tokens, and for whom.
    ///
    /// # Errors
    /// For an empty one: a token that is for everybody proves nothing to anybody.
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

    /// What new passwords must be.
    pub fn password_policy(&self) -> password::Policy {
        let names = self.product_names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        password::Policy { min_chars: self.password_min_length.into(), product_names: names.collect() }
    }
}
