//! The event stream of a process: how far it goes, who follows it, and how many may.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::{
    db::Database,
    error::{Error, Result, chain},
    models::{Caller, PrincipalId, Sequence},
};

/// How long it takes at most to see what another process has committed. What this one commits is seen at once.
const POLL: Duration = Duration::from_millis(100);
/// How long to gather what is committed before telling followers, so that many changes cost one look.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait after the database could not be asked.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Most snapshots at once: each keeps a connection, and the database keeps what it shows.
const MAX_SNAPSHOTS: usize = 4;

/// The event stream of a process.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    /// The place up to which every event is settled.
    settled: watch::Sender<Sequence>,
    /// Somebody began to follow.
    followed: Notify,
    stopping: watch::Sender<bool>,
    open: Mutex<Open>,
    max_streams: usize,
}

/// The open streams.
#[derive(Default)]
struct Open {
    streams: usize,
    snapshots: usize,
    /// Of each owner of API keys that has one.
    of: HashMap<PrincipalId, usize>,
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Follows the events.
    Watch,
    /// Sends a state.
    Snapshot,
}

/// The right to have a stream open, until it is dropped.
pub struct Slot {
    feed: Feed,
    owner: PrincipalId,
    kind: Kind,
}

impl Feed {
    /// A stream that nobody follows yet.
    pub fn new(max_streams: usize) -> Self {
        Self(Arc::new(Inner {
            settled: watch::Sender::new(0),
            followed: Notify::new(),
            stopping: watch::Sender::new(false),
            open: Mutex::default(),
            max_streams,
        }))
    }

    /// Takes the right to have a stream open. A tenant gets at most a tenth of all there are.
    ///
    /// # Errors
    /// [`Error::StreamLimitReached`].
    pub fn open(&self, caller: &Caller, kind: Kind) -> Result<Slot> {
        let owner = caller.principal.id();
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.of.get(&owner).copied().unwrap_or_default();
        let of_one = if caller.is_platform_admin() { self.0.max_streams } else { self.0.max_streams.div_ceil(10) };
        let is_full = open.streams >= self.0.max_streams
            || own >= of_one
            || (kind == Kind::Snapshot && open.snapshots >= MAX_SNAPSHOTS);
        if is_full {
            return Err(Error::StreamLimitReached);
        }
        open.streams += 1;
        open.snapshots += usize::from(kind == Kind::Snapshot);
        *open.of.entry(owner).or_default() += 1;
        Ok(Slot { feed: self.clone(), owner, kind })
    }

    /// Follows how far the stream goes.
    pub fn follow(&self) -> watch::Receiver<Sequence> {
        let receiver = self.0.settled.subscribe();
        self.0.followed.notify_one();
        receiver
    }

    /// Ends all streams and the work for them.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Waits until the process stops.
    pub async fn stopped(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // The sender lives as long as `self`.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Moves the stream on, until the process stops. Asks nothing while nobody follows.
    pub async fn run(self, db: Database) {
        let advance = async {
            loop {
                if self.0.settled.receiver_count() == 0 {
                    self.0.followed.notified().await;
                }
                match self.advance(&db).await {
                    Ok(()) => {
                        tokio::select! {
                            () = db.committed() => tokio::time::sleep(GATHER).await,
                            () = self.0.followed.notified() => {}
                            () = tokio::time::sleep(POLL) => {}
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "the event stream does not go on");
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = self.stopped() => {}
            () = advance => {}
        }
    }

    async fn advance(&self, db: &Database) -> Result<()> {
        let settled = db.read().await?.events().settled().await?;
        self.0.settled.send_if_modified(|place| {
            let is_further = settled > *place;
            *place = settled.max(*place);
            is_further
        });
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.feed.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.streams -= 1;
        open.snapshots -= usize::from(self.kind == Kind::Snapshot);
        if let Some(own) = open.of.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                open.of.remove(&self.owner);
            }
        }
    }
}
