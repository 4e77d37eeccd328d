//! How many requests are remembered for one owner of credentials, so that no tenant fills the table of all.

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

/// After how many requests those are forgotten who have sent none for a while.
const FORGET_EVERY: u32 = 4096;

/// A bucket for each owner, of as many requests as are remembered at once. It fills again within the time that they are remembered, so
/// that at most twice as many rows of an owner are stored. Each process has its own.
#[derive(Clone)]
pub struct RequestMemory(Option<Arc<Inner>>);

struct Inner {
    owners: DefaultKeyedRateLimiter<PrincipalId>,
    taken: AtomicU32,
}

impl RequestMemory {
    /// Remembers so many requests of an owner in so long a time; 0 for any number.
    pub fn new(most: u32, memory: Duration) -> Self {
        let quota = NonZeroU32::new(most)
            .and_then(|most| Some(Quota::with_period(memory.checked_div(most.get())?)?.allow_burst(most)));
        Self(quota.map(|quota| Arc::new(Inner { owners: RateLimiter::dashmap(quota), taken: AtomicU32::new(0) })))
    }

    /// Takes room for one more request of a caller. Platform admins are not held to a number.
    ///
    /// # Errors
    /// How long until there is room.
    pub fn take(&self, caller: &Caller) -> Result<(), Duration> {
        let Some(inner) = self.0.as_ref().filter(|_| !caller.is_platform_admin()) else { return Ok(()) };
        if inner.taken.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            inner.owners.retain_recent();
            inner.owners.shrink_to_fit();
        }
        inner.owners.check_key(&caller.accountable).map_err(|until| until.wait_time_from(inner.owners.clock().now()))
    }
}
