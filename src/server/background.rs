//! The list of background jobs, and how often each runs.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;

use crate::{
    app::{App, attempts, health::Health, signing_keys},
    config::ServeArgs,
    http::port::Port,
    interceptors::RateLimit,
    jobs::{Job, erasure, key_usage, search_index, sweep},
    transport::Tls,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Parts that jobs work on, in addition to the application.
pub(super) struct Parts {
    pub(super) health: Health,
    pub(super) rates: RateLimit,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) port: Option<(Arc<TcpListener>, Arc<Port>)>,
}

/// The jobs of a server. Those that must store something run once more after the last call.
pub(super) fn jobs(app: &App, parts: Parts, args: &ServeArgs) -> Vec<Job> {
    let app = || app.clone();
    let schedule = args.authentication.schedule();
    let mut jobs = vec![
        // Announces committed events to streams.
        Job::continuous("event_feed", with(app(), |app| app.feed.clone().run(app.db.clone()))),
        // Removes changed credentials from the cache.
        Job::continuous("credential_cache", with(app(), |app| app.credentials.clone().follow())),
        Job::periodic("key_usage", args.usage_interval, with(app(), key_usage::write)).also_at_stop(),
        Job::periodic("sign_in_failures", SECOND, with(app(), attempts::write)).also_at_stop(),
        Job::periodic("signing_keys", SECOND, with(app(), move |app| signing_keys::maintain(app, schedule))),
        Job::periodic("search_index", SECOND, with(app(), search_index::absorb)),
        Job::periodic("erasure", SECOND, with(app(), erasure::run)),
        Job::periodic(
            "health",
            SECOND,
            with((app(), parts.health), async |(app, health)| {
                health.check(&app.db).await;
                Ok(())
            }),
        ),
        Job::periodic(
            "rate_limits",
            MINUTE,
            with(parts.rates, async |rates| {
                rates.forget();
                Ok(())
            }),
        ),
    ];
    if !args.sweep_interval.is_zero() {
        jobs.push(Job::periodic("sweep", args.sweep_interval, with(app(), sweep::run)));
    }
    if let Some(tls) = parts.tls {
        jobs.push(Job::continuous("tls_reload", with(tls, Tls::follow)));
    }
    if let Some((listener, port)) = parts.port {
        jobs.push(Job::continuous("operations_port", with((listener, port), |(listener, port)| port.serve(listener))));
    }
    jobs
}

/// A job that works on something of its own each time it runs.
fn with<T: Clone, F>(on: T, work: impl Fn(T) -> F) -> impl Fn() -> F {
    move || work(on.clone())
}
