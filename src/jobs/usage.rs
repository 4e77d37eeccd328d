//! Writes when API keys were last used: many at once, every now and then, and once more when the process has answered its last call.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    app::App,
    error::{Result, chain},
    models::{Timestamp, api_key::KeyPrefix},
};

/// Most secrets of one transaction.
const BATCH: usize = 500;

/// Writes what is noted, again and again, until the process stops.
pub async fn run(app: App, interval: Duration) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => write(&app).await,
            () = app.feed.stopped() => return,
        }
    }
}

/// Writes what is noted. What cannot be written is noted again.
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
                    "when keys were last used could not be written; it is tried again"
                );
                app.credentials.put_uses_back(batch, at);
            }
        }
    }
}

async fn write_batch(app: &App, prefixes: &[KeyPrefix], at: Timestamp) -> Result<()> {
    app.change_by_system(async |tx| tx.api_keys().used(prefixes, at).await).await
}
