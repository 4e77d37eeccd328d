//! Limits the call rate of each owner, so that no caller can exhaust the server. Keys and sessions of one owner with the same limit share
//! it: more keys do not allow more calls.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use http::request::Parts;
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::Intercept;
use crate::{
    error::{Error, Result},
    models::{Caller, PrincipalId},
};

/// Refuses an owner's calls beyond its limit per second, which is also the maximum burst.
#[derive(Clone)]
pub struct RateLimit(Arc<Shared>);

struct Shared {
    default: u32,
    /// By calls per second: there are few different values.
    limiters: RwLock<HashMap<NonZeroU32, Arc<DefaultKeyedRateLimiter<PrincipalId>>>>,
    refused: Counter,
}

impl RateLimit {
    /// Allows `default` calls per second to an owner whose credential sets no limit; 0 means unlimited. Platform admins are unlimited,
    /// unless their key sets a limit.
    pub fn new(default: u32) -> Self {
        Self(Arc::new(Shared { default, limiters: RwLock::default(), refused: Counter::default() }))
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls refused because their owner exceeded its rate limit";
        registry.register("calls_rate_limited", help, self.0.refused.clone());
    }

    /// Forgets owners whose quota is full again.
    pub fn forget(&self) {
        let mut limiters = self.0.limiters.write().unwrap_or_else(PoisonError::into_inner);
        limiters.retain(|_, limiter| {
            limiter.retain_recent();
            limiter.shrink_to_fit();
            !limiter.is_empty()
        });
    }

    fn limiter(&self, per_second: NonZeroU32) -> Arc<DefaultKeyedRateLimiter<PrincipalId>> {
        let limiters = self.0.limiters.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(limiter) = limiters.get(&per_second) {
            return Arc::clone(limiter);
        }
        drop(limiters);
        let mut limiters = self.0.limiters.write().unwrap_or_else(PoisonError::into_inner);
        let limiter = limiters.entry(per_second);
        Arc::clone(limiter.or_insert_with(|| Arc::new(RateLimiter::dashmap(Quota::per_second(per_second)))))
    }
}

impl Intercept for RateLimit {
    async fn before(&self, parts: &mut Parts) -> Result<()> {
        let Some(caller) = parts.extensions.get::<Caller>() else { return Ok(()) };
        let default = if caller.is_platform_admin() { 0 } else { self.0.default };
        let Some(per_second) = NonZeroU32::new(caller.rate_limit.unwrap_or(default)) else { return Ok(()) };
        let limiter = self.limiter(per_second);
        limiter.check_key(&caller.accountable).map_err(|until| {
            self.0.refused.inc();
            Error::RateLimited { per_second: per_second.get(), wait: until.wait_time_from(limiter.clock().now()) }
        })
    }
}
