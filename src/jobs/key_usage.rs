//! Stores when API keys were last used: periodically in batches, and once more after the last call of the process.

use std::collections::BTreeMap;

use crate::{
    app::App,
    error::Result,
    models::{Timestamp, api_key::KeyPrefix},
};

/// Maximum secrets per transaction.
const BATCH: usize = 500;

/// Stores recorded uses. Those that cannot be stored are recorded again for the next run.
///
/// # Errors
/// The last error, if some could not be stored.
pub async fn write(app: App) -> Result<()> {
    let mut by_time: BTreeMap<Timestamp, Vec<KeyPrefix>> = BTreeMap::new();
    for (prefix, at) in app.credentials.take_uses() {
        by_time.entry(at).or_default().push(prefix);
    }
    let mut written = Ok(());
    for (at, prefixes) in by_time {
        for batch in prefixes.chunks(BATCH) {
            if let Err(error) = write_batch(&app, batch, at).await {
                app.credentials.restore_uses(batch, at);
                written = Err(error);
            }
        }
    }
    written
}

async fn write_batch(app: &App, prefixes: &[KeyPrefix], at: Timestamp) -> Result<()> {
    app.change_by_system(async |tx| tx.api_keys().used(prefixes, at).await).await
}
