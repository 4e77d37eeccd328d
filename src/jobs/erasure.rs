//! Completes the erasure of purged users, in batches small enough that no writer waits long for one.
//!
//! Each part is examined once more after `SETTLE`, for calls that had begun before the purge and ended after it. When the last part of a
//! user is done, the event `user.erased` says that nothing is left.

use std::time::{Duration, Instant};

use super::pace::{BATCH_TIME, Pace};
use crate::{
    app::{App, erasure},
    db::Conn,
    error::Result,
    models::{Action, Change, Erasure, ResourceId, ResourceType, Timestamp, event::Subject},
};

/// How long after the purge calls may still end that began before it.
const SETTLE: Duration = Duration::from_mins(10);
/// Maximum number of erasures that one run completes.
const COMPLETED_AT_ONCE: usize = 1_000;
/// When to try again after readers have kept the database from forgetting old versions of rows.
const RETRY: Duration = Duration::from_secs(1);

/// Erases everything that is due.
///
/// # Errors
/// The first error; what was not done is done at the next run.
pub async fn run(app: App) -> Result<()> {
    let now = app.now();
    if !app.db.read(async |conn| conn.erasures().is_any_due(now).await).await? {
        return Ok(());
    }
    let mut pace = Pace::new(100, 10, 2_000);
    let mut last = Vec::new();
    loop {
        let limit = pace.limit();
        let step = app.change_by_system(async |tx| step(&app, tx, limit, now).await).await?;
        let took = step.begun.elapsed();
        last.extend(step.last);
        if step.is_idle || last.len() >= COMPLETED_AT_ONCE {
            break;
        }
        pace.after(took).await;
    }
    // An erasure is complete only once it has succeeded.
    if app.db.forget_old_versions().await? && !last.is_empty() {
        complete(&app, &last).await?;
    }
    Ok(())
}

/// The result of one step.
struct Step {
    /// When it began to hold up other writers.
    begun: Instant,
    /// True if nothing was due.
    is_idle: bool,
    /// Parts with nothing left to do, each the last one of its user.
    last: Vec<Erasure>,
}

/// Works on the parts that are due first, up to about `limit` rows.
async fn step(app: &App, tx: &mut Conn, limit: i64, now: Timestamp) -> Result<Step> {
    let mut next = tx.erasures().lock_next(now).await?;
    // From here on other writers wait. The time this transaction waited for them does not count.
    let mut step = Step { begun: Instant::now(), is_idle: next.is_none(), last: Vec::new() };
    let mut left = limit;
    while let Some(mut part) = next.take() {
        tx.erase(part.person());
        let examined = erasure::rows(app, tx, &mut part, left, now).await?;
        if examined < left {
            step.last.extend(finish(tx, part, now).await?);
        } else {
            tx.erasures().save(&part).await?;
        }
        left -= examined.max(1);
        if left > 0 && step.begun.elapsed() < BATCH_TIME {
            next = tx.erasures().lock_next(now).await?;
        }
    }
    Ok(step)
}

/// Ends the work on a part of which nothing is left for now. Returns it if it is complete and the last one of its user.
async fn finish(tx: &mut Conn, mut part: Erasure, now: Timestamp) -> Result<Option<Erasure>> {
    let settled_at = part.requested_at.after(SETTLE);
    if now < settled_at {
        part.due_at = settled_at;
        // A call that had begun before the purge has events with ids from before it.
        part.reached = Some(erasure::first_event_at(part.requested_at.before(SETTLE)));
    } else if tx.erasures().count(part.user_id).await? > 1 {
        tx.erasures().delete(&part).await?;
        return Ok(None);
    } else {
        // It comes again if readers still need old versions of rows, or if the process ends before it is complete.
        part.due_at = now.after(RETRY);
    }
    tx.erasures().save(&part).await?;
    Ok((now >= settled_at).then_some(part))
}

/// Completes the erasure of users of whom nothing is left but these parts.
async fn complete(app: &App, last: &[Erasure]) -> Result<()> {
    let complete = app.change_by_system(async |tx| {
        for part in last {
            // Another process may have been faster.
            if tx.erasures().delete(part).await? {
                let resource = Some((ResourceType::User, ResourceId(part.user_id.0)));
                let subject = Subject { user_id: Some(part.user_id), resource, ..Subject::default() };
                tx.record(Change::nothing(Action::UserErased, subject));
            }
        }
        Ok(())
    });
    complete.await
}
