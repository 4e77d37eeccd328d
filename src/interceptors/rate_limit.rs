//! Bounds how often one owner calls, so that no caller takes what is there for all. The keys and sessions of one owner that are held to the
//! same number of calls share them: more keys are not more calls.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use http::request::Parts;
use prometheus_client::{metrics::counter::Counter, registry::Registry};

use super::Intercept;
use crate::{
    error::{Error, Result},
    models::{Caller, PrincipalId},
};

/// How often what is past is forgotten.
const FORGET: Duration = Duration::from_mins(1);

/// Refuses the calls of an owner beyond so many a second. As many may come at once.
#[derive(Clone)]
pub struct RateLimit(Arc<Inner>);

struct Inner {
    default: u32,
    /// By how many a second: there are few different ones.
    limiters: RwLock<HashMap<NonZeroU32, Arc<DefaultKeyedRateLimiter<PrincipalId>>>>,
    refused: Counter,
}

impl RateLimit {
    /// Takes so many calls a second of an owner whose credential says nothing else; 0 for any number. Platform admins may make any
    /// number, unless their key says so.
    pub fn new(default: u32) -> Self {
        Self(Arc::new(Inner { default, limiters: RwLock::default(), refused: Counter::default() }))
    }

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Calls that were refused because their owner made too many";
        registry.register("calls_rate_limited", help, self.0.refused.clone());
    }

    /// Forgets owners that do not call any more. It runs until it is dropped.
    pub async fn forget(self) {
        loop {
            tokio::time::sleep(FORGET).await;
            let mut limiters = self.0.limiters.write().unwrap_or_else(PoisonError::into_inner);
            limiters.retain(|_, limiter| {
                limiter.retain_recent();
                limiter.shrink_to_fit();
                !limiter.is_empty()
            });
        }
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
