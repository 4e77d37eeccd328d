//! Settings of the sealing keys and of the prefixes of secrets.

use clap::Args;

use super::SecretText;
use crate::{models::SecretPrefix, security::token::SecretPrefixes};

/// Settings of the sealing keys.
#[derive(Args, Clone, Debug)]
pub struct SealingArgs {
    /// Keys that encrypt secrets in the database: `ID:KEY[,ID:KEY..]`, each KEY 32 bytes in base64. The first encrypts, all decrypt. Unset:
    /// SQLite keeps a key in FILE.keys next to the database, PostgreSQL refuses to start
    #[arg(long, env = "TENANTRY_SEALING_KEYS", value_name = "KEYS", hide_env_values = true)]
    pub sealing_keys: Option<SecretText>,
}

/// Settings of the prefixes of secrets.
#[derive(Args, Clone, Debug)]
pub struct SecretPrefixArgs {
    /// Prefix of API keys and tokens, which shows people and scanners whose they are: 2 to 16 lower-case letters and digits, starting with
    /// a letter, not `ey`
    #[arg(long, env = "TENANTRY_SECRET_PREFIX", value_name = "TEXT", default_value = "cf", hide_env_values = true)]
    pub secret_prefix: SecretPrefix,

    /// Former prefixes, comma-separated. Secrets that begin with one are accepted, and no more are issued
    #[arg(
        long,
        env = "TENANTRY_FORMER_SECRET_PREFIXES",
        value_name = "TEXTS",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub former_secret_prefixes: Vec<SecretPrefix>,
}

impl SecretPrefixArgs {
    /// The prefixes that are issued and accepted.
    pub fn prefixes(&self) -> SecretPrefixes {
        SecretPrefixes::new(self.secret_prefix.clone(), self.former_secret_prefixes.clone())
    }
}
