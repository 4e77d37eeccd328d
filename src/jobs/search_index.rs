//! Moves new and changed users and organizations into the index of search, in batches.

use std::time::Instant;

use uuid::Uuid;

use super::pace::pause;
use crate::{
    app::App,
    error::{Error, Result},
    models::search::Searched,
};

/// Moved in one transaction, so that no other writer waits long for it.
const BATCH: usize = 1024;

/// Moves everything that is pending. A search finds what is pending too, but compares it one by one.
///
/// # Errors
/// The first error; what is left is moved by the next run.
pub async fn absorb(app: App) -> Result<()> {
    for searched in [Searched::Users, Searched::Organizations] {
        // Asked first, since most runs find nothing: a transaction would hold the writer.
        while app.db.read(async |conn| conn.search().has_pending(searched).await).await? {
            let last = append(&app, searched).await?;
            let absorbed = app.change_by_system(async |tx| {
                let begun = Instant::now();
                Ok((tx.search().absorb(searched, BATCH, last).await?, begun))
            });
            let (is_full, begun) = absorbed.await?;
            // After a whole segment many more are coming, which the next run adds at less cost.
            if !is_full {
                break;
            }
            pause(begun.elapsed()).await;
        }
    }
    Ok(())
}

/// Adds whole segments while there are enough pending resources, and returns the last id of the last one.
async fn append(app: &App, searched: Searched) -> Result<Option<Uuid>> {
    let mut last = None;
    while let Some(batch) = app.db.scan(async |conn| conn.search().batch(searched).await).await? {
        let encoded = tokio::task::spawn_blocking(|| batch.encode()).await;
        let segment = &encoded.map_err(|error| Error::Internal(Box::new(error)))??;
        let appended = app.change_by_system(async |tx| {
            let begun = Instant::now();
            Ok((tx.search().append(searched, segment).await?, begun))
        });
        let (appended, begun) = appended.await?;
        if appended.is_none() {
            break;
        }
        last = appended;
        pause(begun.elapsed()).await;
    }
    Ok(last)
}
