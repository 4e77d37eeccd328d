//! The pace of a job that works in batches: each batch holds up other writers for a short time, and half of the time is theirs.

use std::time::Duration;

/// If a batch, including its commit, takes longer than this, the next one is smaller; if it takes less than half, the next one is larger.
pub(super) const BATCH_TIME: Duration = Duration::from_millis(10);
/// Minimum pause between two batches.
const MIN_PAUSE: Duration = Duration::from_millis(2);

/// How many rows the next batch has.
pub(super) struct Pace {
    limit: i64,
    min: i64,
    max: i64,
}

impl Pace {
    /// Begins with `first` rows, and never has less than `min` or more than `max`.
    pub(super) fn new(first: i64, min: i64, max: i64) -> Self {
        Self { limit: first, min, max }
    }

    /// Maximum rows of the next batch.
    pub(super) fn limit(&self) -> i64 {
        self.limit
    }

    /// Adapts to a batch that took this long, and leaves as much time to others.
    pub(super) async fn after(&mut self, took: Duration) {
        if took > BATCH_TIME {
            self.limit = (self.limit / 2).max(self.min);
        } else if took < BATCH_TIME / 2 {
            self.limit = (self.limit + self.limit / 4).min(self.max);
        }
        pause(took).await;
    }
}

/// Leaves as much time to other writers as a batch took.
pub(super) async fn pause(took: Duration) {
    tokio::time::sleep(took.max(MIN_PAUSE)).await;
}
