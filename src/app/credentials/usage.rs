//! Uses of keys that are not written yet. A check notes a use here, at most once per unit of time.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::models::{Timestamp, api_key::KeyPrefix};

/// Maximum number of secrets with a use not yet written. Uses of others are dropped, and noted at their next use.
const MAX_NOTED: usize = 100_000;

/// The uses that are not written yet.
pub(super) struct Uses {
    /// The resolution of the time of a use.
    unit: Duration,
    noted: Mutex<HashMap<KeyPrefix, Timestamp>>,
}

/// The last noted use of one secret.
#[derive(Default)]
pub(super) struct LastUse(AtomicI64);

impl Uses {
    pub(super) fn new(unit: Duration) -> Self {
        Self { unit, noted: Mutex::default() }
    }

    /// Notes a use of a secret, unless one is already noted for this unit of time.
    pub(super) fn note(&self, prefix: &KeyPrefix, last: &LastUse, now: Timestamp) {
        let at = now.floor(self.unit);
        if last.0.load(Relaxed) < at.as_micros() && self.put(*prefix, at) {
            last.0.store(at.as_micros(), Relaxed);
        }
    }

    /// Takes the noted uses, to write them.
    pub(super) fn take(&self) -> HashMap<KeyPrefix, Timestamp> {
        std::mem::take(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a use. False if there is no room for it.
    pub(super) fn put(&self, prefix: KeyPrefix, at: Timestamp) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MAX_NOTED && !noted.contains_key(&prefix) {
            return false;
        }
        let last = noted.entry(prefix).or_insert(at);
        *last = at.max(*last);
        true
    }
}
