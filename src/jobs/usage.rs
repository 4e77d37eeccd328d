//! Stores when API keys were last used: periodically in batches, and once more after the last call of the process.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    app::App,
    error::{Result, chain},
    models::{Timestamp, api_key::KeyPrefix},
};

/// Maximum secrets per transaction.
const BATCH: usize = 500;

/// Stores recorded uses periodically until the process stops.
pub async fn run(app: App, interval: Duration) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => write(&app).await,
            () = app.feed.stopped() => return,
        }
    }
}

/// Stores recorded uses. Those that cannot be stored are recorded again for the next run.
pub async fn write(app: &App) {
    let mut by_time: BTreeMap<Timestamp, Vec<KeyPrefix>> = BTreeMap::new();
    for (prefix, at) in app.credentials.take_uses() {
        by_time.entry(at).or_default().push(prefix);
    }
    for (at, prefixes) in by_time {
        for batch in prefixes.chunks(BATCH) {
            if let Err(error) = write_batch(app, batch, at).await {
                tracing::warn!(
                    error = chain(&error),
                    "could not store when API keys were last used; it will be retried"
                );
                app.credentials.put_uses_back(batch, at);
            }
        }
    }
}

async fn write_batch(app: &App, prefixes: &[KeyPrefix], at: Timestamp) -> Result<()> {
    app.change_by_system(async |tx| tx.api_keys().used(prefixes, at).await).await
}
