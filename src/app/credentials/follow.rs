//! How a process learns of changes made by others: it reads the events, as long as keys are being asked for.
//!
//! On PostgreSQL an event may be committed after one with a larger number. So each read covers everything after a floor below which no
//! event can appear any more; the floor moves once the writers seen at an earlier read have finished. A long transaction only holds
//! back the floor: what is committed is seen by the next read.

use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{BOUND, Invalidation, Shared};
use crate::{
    error::{Result, chain},
    models::{Action, Sequence},
};

/// How often the events are read.
const POLL: Duration = Duration::from_millis(100);
/// Polling stops after this time without a request for a key.
const IDLE: Duration = Duration::from_secs(10);
/// Maximum number of changes to apply one by one. Beyond it everything is invalidated.
const MAX_CHANGES: i64 = 10_000;
/// Maximum number of candidate positions for the floor.
const MAX_CANDIDATES: usize = 64;

/// When the events were last read, and whether anything depends on them.
pub(super) struct Freshness {
    began: Instant,
    /// Microseconds from `began` to the start of the last successful read; 0 before it.
    looked: AtomicU64,
    is_used: AtomicBool,
    used: Notify,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { began: Instant::now(), looked: AtomicU64::new(0), is_used: AtomicBool::new(false), used: Notify::new() }
    }
}

impl Freshness {
    /// Until when cached entries may be relied on. `None` if they may not.
    pub(super) fn until(&self) -> Option<Instant> {
        // Loaded first: a store by every core would make all cores wait for the cache line.
        if !self.is_used.load(Ordering::Relaxed) && !self.is_used.swap(true, Ordering::Relaxed) {
            self.used.notify_one();
        }
        let looked = self.looked.load(Ordering::Acquire);
        let until = self.began + Duration::from_micros(looked) + BOUND;
        (looked > 0 && Instant::now() < until).then_some(until)
    }

    fn confirm(&self, looked: Instant) {
        let micros = u64::try_from(looked.duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        self.looked.store(micros.max(1), Ordering::Release);
    }

    fn expire(&self) {
        self.looked.store(0, Ordering::Release);
    }
}

/// The position up to which all changes are known.
struct Horizon {
    /// No event can appear at or below it any more.
    floor: Sequence,
    /// Positions above it, each with the writers that may still write below it.
    candidates: VecDeque<(Sequence, Vec<String>)>,
    /// The events above the floor that were already applied.
    known: HashSet<Sequence>,
}

/// Follows the events until it is dropped.
pub(super) async fn follow(inner: &Shared) {
    let actions = Invalidation::actions();
    let mut horizon: Option<Horizon> = None;
    let mut used = Instant::now();
    loop {
        if inner.freshness.is_used.swap(false, Ordering::Relaxed) {
            used = Instant::now();
        } else if used.elapsed() > IDLE {
            inner.freshness.expire();
            horizon = None;
            inner.known.clear();
            inner.freshness.used.notified().await;
            continue;
        }
        let looked = Instant::now();
        horizon = match look(inner, &actions, horizon).await {
            Ok(horizon) => {
                if horizon.is_some() {
                    inner.freshness.confirm(looked);
                }
                horizon
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot follow changes of API keys; looking up each key instead");
                None
            }
        };
        tokio::time::sleep(POLL).await;
    }
}

/// Reads the events once. `None` if the next read must start over.
async fn look(inner: &Shared, actions: &[Action], horizon: Option<Horizon>) -> Result<Option<Horizon>> {
    let Some(mut horizon) = horizon else {
        let floor = inner.db.read(async |conn| conn.events().settled().await).await?;
        // An entry cached before may have missed a change below the floor.
        inner.changes.forget(Invalidation::Everything);
        return Ok(Some(Horizon { floor, candidates: VecDeque::new(), known: HashSet::new() }));
    };
    let floor = horizon.floor;
    let read = inner.db.read(async |conn| {
        let (_, last) = conn.events().ends().await?;
        let writers = conn.event_writers().await?;
        Ok((last, writers, conn.events().happened(actions, floor, MAX_CHANGES).await?))
    });
    let (last, writers, happened) = read.await?;
    let is_restored = last < horizon.floor;
    if is_restored || i64::try_from(happened.len()).unwrap_or(i64::MAX) >= MAX_CHANGES {
        return Ok(None);
    }
    for (sequence, action, subject) in happened {
        if horizon.known.insert(sequence) {
            Invalidation::all_by(action, &subject).for_each(|forgotten| inner.changes.forget(forgotten));
        }
    }
    horizon.advance(last, &writers);
    Ok(Some(horizon))
}

impl Horizon {
    /// Moves the floor, after the events above it were read.
    fn advance(&mut self, last: Sequence, writers: &[String]) {
        if self.candidates.len() < MAX_CANDIDATES {
            self.candidates.push_back((last, writers.to_vec()));
        }
        for (_, waiting) in &mut self.candidates {
            waiting.retain(|writer| writers.contains(writer));
        }
        let settled = self.candidates.iter().filter(|(_, waiting)| waiting.is_empty()).map(|(place, _)| *place);
        self.floor = settled.max().unwrap_or(self.floor).max(self.floor);
        self.candidates.retain(|(place, _)| *place > self.floor);
        self.known.retain(|sequence| *sequence > self.floor);
    }
}
