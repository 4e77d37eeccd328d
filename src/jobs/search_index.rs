//! Moves new and changed users and organizations into the index of search, in batches.

use crate::{app::App, error::Result, models::search::Searched};

/// Moved in one transaction, so that no other writer waits long for it.
const BATCH: usize = 1024;

/// Moves everything that is pending. A search finds what is pending too, but compares it one by one.
///
/// # Errors
/// The first error; what is left is moved by the next run.
pub async fn absorb(app: App) -> Result<()> {
    let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
    for searched in [Searched::Users, Searched::Organizations] {
        // Asked first, since most runs find nothing: a transaction would hold the writer.
        while app.db.read(async |conn| conn.search().has_pending(searched).await).await? {
            let absorbed = app.change_by_system(async |tx| tx.search().absorb(searched, limit).await).await?;
            if absorbed < BATCH {
                break;
            }
        }
    }
    Ok(())
}
