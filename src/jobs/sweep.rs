//! Removes what is past its time, in batches so small that no writer waits long for one.

use std::time::{Duration, Instant};

use crate::{
    app::App,
    db::Conn,
    error::{Result, chain},
    models::{Reach, Timestamp},
};

/// How long a batch may take, its commit included, before the next one is made smaller. Less than half of it makes the next one
/// larger.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// The rows of the first batch, and the fewest and the most of any.
const ROWS: (i64, i64, i64) = (100, 10, 5_000);
/// The least pause between two batches; otherwise it is as long as the batch was, so that half of the time is left.
const MIN_PAUSE: Duration = Duration::from_millis(2);
/// How long a session has been over before it is removed: one that is about to be refreshed, as it had not expired when its token was
/// presented, or has not by the clock of another process, is not removed meanwhile.
const EXPIRED_FOR: Duration = Duration::from_hours(1);
/// How long an invitation that has expired can be sent again.
const INVITATION_KEPT: Duration = Duration::from_hours(30 * 24);

/// What is swept.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Sessions that have expired.
    Sessions,
    /// Deleted users past the restore window, with all that hangs on them.
    Users,
    /// Deleted organizations past the restore window, with all that hangs on them.
    Organizations,
    /// Answers past the time for which they are remembered.
    RememberedAnswers,
    /// Events past their retention.
    Events,
    /// Invitations that nobody has accepted or sent again.
    Invitations,
    /// Tokens that were mailed and did not come back.
    OneTimeTokens,
}

impl Job {
    const ALL: [Self; 7] = [
        Self::Sessions,
        Self::Users,
        Self::Organizations,
        Self::RememberedAnswers,
        Self::Events,
        Self::Invitations,
        Self::OneTimeTokens,
    ];

    /// Removes up to about `limit` rows and tells how many.
    async fn batch(self, app: &App, tx: &mut Conn, limit: i64, now: Timestamp) -> Result<usize> {
        let policy = &app.policy;
        match self {
            Self::Sessions => tx.sessions().delete_expired(now.before(EXPIRED_FOR), limit).await,
            Self::Users => user(tx, now.before(policy.restore_window), limit, now).await,
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

/// Removes things that hang on one user deleted before, and with the last of them the user.
async fn user(tx: &mut Conn, before: Timestamp, limit: i64, now: Timestamp) -> Result<usize> {
    let Some(id) = tx.users().deleted_before(before, 1).await?.pop() else { return Ok(0) };
    let user = tx.users().lock_also_deleted(&Reach::Everything, id).await?;
    // Somebody may have restored or purged it meanwhile.
    let Some(user) = user.filter(|user| user.deleted_at.is_some_and(|deleted_at| deleted_at < before)) else {
        return Ok(1);
    };
    let removed = tx.users().delete_what_hangs_on(&user, limit, now).await?;
    if i64::try_from(removed).unwrap_or(i64::MAX) < limit {
        tx.users().delete(user, now).await?;
    }
    Ok(removed + 1)
}

/// Removes things that hang on one organization deleted before, and with the last of them the organization.
async fn organization(tx: &mut Conn, before: Timestamp, limit: i64) -> Result<usize> {
    let Some(id) = tx.organizations().deleted_before(before, 1).await?.pop() else { return Ok(0) };
    let organization = tx.organizations().lock_also_deleted(&Reach::Everything, id).await?;
    let is_still = |deleted_at: Option<Timestamp>| deleted_at.is_some_and(|deleted_at| deleted_at < before);
    let Some(organization) = organization.filter(|organization| is_still(organization.deleted_at)) else {
        return Ok(1);
    };
    let removed = tx.organizations().delete_what_hangs_on(&organization, limit).await?;
    if i64::try_from(removed).unwrap_or(i64::MAX) < limit {
        tx.organizations().delete(organization).await?;
    }
    Ok(removed + 1)
}

/// Sweeps again and again, until the process stops.
pub async fn run(app: App, interval: Duration) {
    let sweep = async {
        loop {
            tokio::time::sleep(interval).await;
            for job in Job::ALL {
                match sweep(&app, job).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(?job, rows, "swept"),
                    Err(error) => tracing::warn!(?job, error = chain(&error), "a sweep failed; it is tried again"),
                }
            }
        }
    };
    tokio::select! {
        () = app.feed.stopped() => {}
        () = sweep => {}
    }
}

/// Removes all that a job finds now, and tells how many rows that were.
async fn sweep(app: &App, job: Job) -> Result<usize> {
    let now = app.now();
    let (mut limit, min, max) = ROWS;
    let mut swept = 0;
    loop {
        let batch = app.change_by_system(async |tx| {
            // From here on writers wait; how long this one waited for them does not count.
            let begun = Instant::now();
            Ok((job.batch(app, tx, limit, now).await?, begun))
        });
        let (removed, begun) = batch.await?;
        let took = begun.elapsed();
        if removed == 0 {
            return Ok(swept);
        }
        swept += removed;
        limit = match took {
            took if took > BATCH_TIME => (limit / 2).max(min),
            took if took < BATCH_TIME / 2 => (limit + limit / 4).min(max),
            _ => limit,
        };
        tokio::time::sleep(took.max(MIN_PAUSE)).await;
    }
}
