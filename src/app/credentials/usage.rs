//! When keys were used, as far as it is not written yet. A check of a key only notes it here, and that at most once in so long.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::models::{Timestamp, api_key::KeyPrefix};

/// Most secrets whose use is noted and not yet written. The use of further ones is noted when they are used again.
const MAX_NOTED: usize = 100_000;

/// The last uses that are not written yet.
pub(super) struct Uses {
    /// How coarse a time of use is.
    unit: Duration,
    noted: Mutex<HashMap<KeyPrefix, Timestamp>>,
}

/// The last use of one secret that was noted.
#[derive(Default)]
pub(super) struct LastUse(AtomicI64);

impl Uses {
    pub(super) fn new(unit: Duration) -> Self {
        Self { unit, noted: Mutex::default() }
    }

    /// Notes that a secret is used, unless that is known for this time.
    pub(super) fn note(&self, prefix: &KeyPrefix, last: &LastUse, now: Timestamp) {
        let at = now.floor(self.unit);
        if last.0.load(Relaxed) < at.as_micros() && self.put(*prefix, at) {
            last.0.store(at.as_micros(), Relaxed);
        }
    }

    /// Takes what is noted, to be written.
    pub(super) fn take(&self) -> HashMap<KeyPrefix, Timestamp> {
        std::mem::take(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a use. False if there is no room.
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
