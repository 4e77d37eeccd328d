//! Deletes expired data, in batches small enough that no writer waits long for one.

use std::time::{Duration, Instant};

use super::pace::Pace;
use crate::{
    app::{App, erasure},
    db::Conn,
    error::{Result, chain},
    models::{Reach, Timestamp},
};

/// How long after the day of its expiry a session is deleted. A session about to be refreshed, because it had not expired when its token was presented
/// or has not by the clock of another process, must not be deleted meanwhile.
const EXPIRED_FOR: Duration = Duration::from_hours(1);
/// How long an expired invitation can be sent again.
const INVITATION_KEPT: Duration = Duration::from_hours(30 * 24);

/// The kinds of data that are swept.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Expired sessions.
    Sessions,
    /// Deleted users past the restore window, with everything that depends on them.
    Users,
    /// Deleted organizations past the restore window, with everything that depends on them.
    Organizations,
    /// Remembered answers past their lifetime.
    RememberedAnswers,
    /// Events past their retention.
    Events,
    /// Invitations that were neither accepted nor sent again.
    Invitations,
    /// Mailed tokens that were never used.
    OneTimeTokens,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Sessions,
        Self::Users,
        Self::Organizations,
        Self::RememberedAnswers,
        Self::Events,
        Self::Invitations,
        Self::OneTimeTokens,
    ];

    /// Deletes up to about `limit` rows and returns how many.
    async fn batch(self, app: &App, tx: &mut Conn, limit: i64, now: Timestamp) -> Result<usize> {
        let policy = &app.policy;
        match self {
            Self::Sessions => tx.sessions().delete_expired(now.before(EXPIRED_FOR), limit).await,
            Self::Users => user(app, tx, now.before(policy.restore_window), limit, now).await,
            Self::Organizations => organization(tx, now.before(policy.restore_window), limit).await,
            Self::RememberedAnswers => {
                tx.remembered_answers().delete_before(now.before(policy.request_memory), limit).await
            }
            Self::Invitations => tx.invitations().delete_expired(now.before(INVITATION_KEPT), limit).await,
            Self::OneTimeTokens => tx.one_time_tokens().delete_expired(now, limit).await,
            Self::Events => tx.events().delete_before(now.before(policy.event_retention), limit).await,
        }
    }
}

/// Deletes resources that depend on one user deleted before `before`, and the user along with the last of them.
async fn user(app: &App, tx: &mut Conn, before: Timestamp, limit: i64, now: Timestamp) -> Result<usize> {
    let Some(id) = tx.users().deleted_before(before, 1).await?.pop() else { return Ok(0) };
    let user = tx.users().lock_including_deleted(&Reach::by_system(), id).await?;
    // It may have been restored or purged meanwhile.
    let Some(user) = user.filter(|user| user.deleted_at.is_some_and(|deleted_at| deleted_at < before)) else {
        return Ok(1);
    };
    erasure::sweep(app, tx, user, limit, now).await
}

/// Deletes resources that depend on one organization deleted before `before`, and the organization along with the last of them.
async fn organization(tx: &mut Conn, before: Timestamp, limit: i64) -> Result<usize> {
    let Some(id) = tx.organizations().deleted_before(before, 1).await?.pop() else { return Ok(0) };
    let organization = tx.organizations().lock_including_deleted(&Reach::by_system(), id).await?;
    let is_still = |deleted_at: Option<Timestamp>| deleted_at.is_some_and(|deleted_at| deleted_at < before);
    let Some(organization) = organization.filter(|organization| is_still(organization.deleted_at)) else {
        return Ok(1);
    };
    let removed = tx.organizations().delete_dependents(&organization, limit).await?;
    if i64::try_from(removed).unwrap_or(i64::MAX) < limit {
        tx.organizations().delete(organization).await?;
    }
    Ok(removed + 1)
}

/// Sweeps everything.
///
/// # Errors
/// The last error, if something could not be swept.
pub async fn run(app: App) -> Result<()> {
    let mut swept = Ok(());
    for kind in Kind::ALL {
        match sweep(&app, kind).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(?kind, rows, "swept"),
            Err(error) => {
                tracing::warn!(?kind, error = chain(&error), "could not sweep");
                swept = Err(error);
            }
        }
    }
    swept
}

/// Deletes everything a job finds now, and returns the number of rows.
async fn sweep(app: &App, kind: Kind) -> Result<usize> {
    let now = app.now();
    let mut pace = Pace::new(100, 10, 5_000);
    let mut swept = 0;
    loop {
        let limit = pace.limit();
        let batch = app.change_by_system(async |tx| {
            // From here on other writers wait. The time this transaction waited for them does not count.
            let begun = Instant::now();
            Ok((kind.batch(app, tx, limit, now).await?, begun))
        });
        let (removed, begun) = batch.await?;
        let took = begun.elapsed();
        if removed == 0 {
            return Ok(swept);
        }
        swept += removed;
        pace.after(took).await;
    }
}
