//! The settings of what is sealed, and of what secrets begin with.

use clap::Args;

use super::SecretText;
use crate::{models::SecretPrefix, security::token::SecretPrefixes};

/// What the service seals with.
#[derive(Args, Clone, Debug)]
pub struct SealingArgs {
    /// Keys that seal provider tokens: `ID:KEY[,ID:KEY..]`, each KEY 32 bytes in base64; the first one seals, all open.
    /// Without it, SQLite keeps a key in FILE.keys beside the database; PostgreSQL requires it
    #[arg(long, env = "TENANTRY_SEALING_KEYS", value_name = "KEYS", hide_env_values = true)]
    pub sealing_keys: Option<SecretText>,
}

/// What secrets begin with.
#[derive(Args, Clone, Debug)]
pub struct SecretPrefixArgs {
    /// What API keys and tokens begin with, so that people and scanners see whose they are: 2 to 16 lower-case letters and digits, first a
    /// letter, not `ey`
    #[arg(long, env = "TENANTRY_SECRET_PREFIX", value_name = "TEXT", default_value = "cf", hide_env_values = true)]
    pub secret_prefix: SecretPrefix,

    /// What API keys and tokens began with before, separated by commas: those that were issued so are accepted, and no more are issued
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
    /// What is issued, and what is accepted.
    pub fn prefixes(&self) -> SecretPrefixes {
        SecretPrefixes::new(self.secret_prefix.clone(), self.former_secret_prefixes.clone())
    }
}
