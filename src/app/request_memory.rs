//! A budget of remembered requests per owner of credentials, so that no tenant fills the shared table.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::models::{Caller, PrincipalId};

/// After how many requests the buckets of idle owners are dropped.
const FORGET_EVERY: u32 = 4096;

/// A token bucket per owner, with room for the maximum number of remembered requests. It refills within the time that requests are
/// remembered, so at most twice that number of rows is stored per owner. Each process has its own buckets.
#[derive(Clone)]
pub struct RequestMemory(Option<Arc<Shared>>);

struct Shared {
    most: NonZeroU32,
    owners: DefaultKeyedRateLimiter<PrincipalId>,
    taken: AtomicU32,
}

impl RequestMemory {
    /// Allows an owner `most` requests per period `memory`; 0 for no limit.
    pub fn new(most: u32, memory: Duration) -> Self {
        let quota = NonZeroU32::new(most)
            .and_then(|most| Some((most, Quota::with_period(memory.checked_div(most.get())?)?.allow_burst(most))));
        let shared = |(most, quota)| Shared { most, owners: RateLimiter::dashmap(quota), taken: AtomicU32::new(0) };
        Self(quota.map(|quota| Arc::new(shared(quota))))
    }

    /// Takes room for one more request of a caller. Platform admins have no limit.
    ///
    /// # Errors
    /// The time until there is room.
    pub fn take(&self, caller: &Caller) -> Result<(), Duration> {
        self.take_many(caller, NonZeroU32::MIN)
    }

    /// Takes room for `count` more requests of a caller, all or nothing. More than the budget counts as all of it.
    ///
    /// # Errors
    /// The time until there is room.
    pub fn take_many(&self, caller: &Caller, count: NonZeroU32) -> Result<(), Duration> {
        let Some(inner) = self.0.as_ref().filter(|_| !caller.is_platform_admin()) else { return Ok(()) };
        if inner.taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            inner.owners.retain_recent();
            inner.owners.shrink_to_fit();
        }
        let taken = inner.owners.check_key_n(&caller.accountable, count.min(inner.most));
        // Never more than the capacity, so the outer result is always `Ok`.
        taken.unwrap_or(Ok(())).map_err(|until| until.wait_time_from(inner.owners.clock().now()))
    }
}
