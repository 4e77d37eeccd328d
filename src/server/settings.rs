//! Converts command-line settings to those of the application.

use crate::{
    app::{attempts, hashing, signing_keys::Schedule},
    config::{
        AuthenticationArgs, ByteSize,
        authentication::{LEAST_COSTS, threads},
    },
    security::password::{Cost, Peppers, Recipes},
};

impl AuthenticationArgs {
    /// When signing keys are replaced.
    pub fn schedule(&self) -> Schedule {
        Schedule { algorithm: self.signing_algorithm.into(), life: self.signing_key_life }
    }

    /// How passwords are hashed.
    ///
    /// # Errors
    /// Names the setting that is too weak or does not fit the others.
    pub fn hashing(&self) -> Result<hashing::Settings, String> {
        let kib = |size: ByteSize| u32::try_from(size.0 / 1024).unwrap_or(u32::MAX);
        let cost = Cost { memory_kib: kib(self.hash_memory), passes: self.hash_passes, lanes: self.hash_lanes };
        let is_strong = LEAST_COSTS.iter().any(|(kib, passes)| cost.memory_kib >= *kib && cost.passes >= *passes);
        if !is_strong {
            return Err("--hash-memory and --hash-passes must be at least 46MiB and 1, 19MiB and 2, 12MiB and 3, 9MiB and 4, or 7MiB and 5"
                .to_owned());
        }
        let memory_kib = kib(self.hash_total_memory);
        if memory_kib < cost.memory_kib || cost.memory_kib > 4 * 1024 * 1024 {
            return Err("--hash-total-memory must be at least --hash-memory, and that at most 4GiB".to_owned());
        }
        let threads = threads(self.hash_threads);
        let peppers = match &self.password_peppers {
            None => Peppers::default(),
            Some(text) => Peppers::parse(&text.0).map_err(|error| format!("--password-peppers: {error}"))?,
        };
        let recipes = match &self.password_recipes {
            None => Recipes::default(),
            Some(text) => Recipes::parse(&text.0).map_err(|error| format!("--password-recipes: {error}"))?,
        };
        Ok(hashing::Settings { cost, memory_kib, threads, peppers, recipes })
    }

    /// The limits on wrong passwords.
    pub fn limits(&self) -> attempts::Limits {
        attempts::Limits { per_address: self.max_failures_per_address, per_caller: self.max_failures_per_caller }
    }
}
