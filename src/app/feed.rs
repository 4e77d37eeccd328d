//! The event stream of a process: how far it is settled, and the limits on open streams.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::{
    app::shares::{Shares, Use, Used},
    db::Database,
    error::{Error, Result, chain},
    models::{Caller, PrincipalId, Sequence},
};

/// Maximum delay until commits of other processes are seen. Those of this process are seen at once.
const POLL: Duration = Duration::from_millis(100);
/// How long to collect commits before notifying followers, so that many changes cost one read.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait after the database could not be read.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Maximum number of concurrent snapshots: each holds a connection, and the database retains the rows it shows. Tenants get half.
const MAX_SNAPSHOTS: usize = 4;

/// The event stream of a process.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    /// The position up to which every event is settled.
    settled: watch::Sender<Sequence>,
    /// Notified when a follower subscribes.
    followed: Notify,
    stopping: watch::Sender<bool>,
    open: Mutex<Open>,
    max_streams: usize,
    shares: Shares,
}

/// The open streams.
#[derive(Default)]
struct Open {
    /// By tenants, and by platform admins.
    streams: [usize; 2],
    snapshots: [usize; 2],
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Follows the events.
    Watch,
    /// Sends the current state.
    Snapshot,
    /// Answers questions about API keys.
    Verify,
    /// Imports users.
    Import,
}

/// The right to have a stream open, until it is dropped.
pub struct Slot {
    feed: Feed,
    is_platform_admin: bool,
    kind: Kind,
    _part: Option<Part>,
}

/// A stream's use of the accountable owner's share: of its streams, and of its snapshots. Streams of platform admins use none.
type Part = (Used, Option<Used>);

impl Feed {
    /// A feed without followers. Open streams per accountable owner are counted in `shares`.
    pub fn new(max_streams: usize, shares: Shares) -> Self {
        Self(Arc::new(Inner {
            settled: watch::Sender::new(0),
            followed: Notify::new(),
            stopping: watch::Sender::new(false),
            open: Mutex::default(),
            max_streams,
            shares,
        }))
    }

    /// Takes the right to have a stream open. An accountable owner gets at most a tenth of all streams, and one snapshot; all tenants
    /// together leave the last fifth of the streams, and half of the snapshots, to platform admins.
    ///
    /// # Errors
    /// [`Error::StreamLimitReached`].
    pub fn open(&self, caller: &Caller, kind: Kind) -> Result<Slot> {
        let max = self.0.max_streams;
        let (is_platform_admin, is_snapshot) = (caller.is_platform_admin(), kind == Kind::Snapshot);
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let [by_tenants, by_admins] = open.streams;
        let is_full = by_tenants + by_admins >= max
            || (is_snapshot && open.snapshots.iter().sum::<usize>() >= MAX_SNAPSHOTS)
            || (!is_platform_admin
                && (by_tenants >= max - max / 5 || (is_snapshot && open.snapshots[0] >= MAX_SNAPSHOTS / 2)));
        if is_full {
            return Err(Error::StreamLimitReached);
        }
        let mut part = None;
        if !is_platform_admin {
            part = Some(self.part(caller.accountable, is_snapshot).ok_or(Error::StreamLimitReached)?);
        }
        open.streams[usize::from(is_platform_admin)] += 1;
        open.snapshots[usize::from(is_platform_admin)] += usize::from(is_snapshot);
        Ok(Slot { feed: self.clone(), is_platform_admin, kind, _part: part })
    }

    /// Takes one more stream from the share of an accountable owner.
    fn part(&self, accountable: PrincipalId, is_snapshot: bool) -> Option<Part> {
        let share = self.0.shares.of(accountable);
        let stream = share.take(Use::Streams, self.0.max_streams.div_ceil(10))?;
        let snapshot = if is_snapshot { Some(share.take(Use::Snapshots, 1)?) } else { None };
        Some((stream, snapshot))
    }

    /// Subscribes to the settled position.
    pub fn follow(&self) -> watch::Receiver<Sequence> {
        let receiver = self.0.settled.subscribe();
        self.0.followed.notify_one();
        receiver
    }

    /// Ends all streams.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Waits until the process stops.
    pub async fn stopped(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // The sender lives as long as `self`.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Advances the settled position, without end. Does not query the database while there is no follower.
    pub async fn run(self, db: Database) {
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
                    tracing::warn!(error = chain(&error), "the event stream cannot advance");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn advance(&self, db: &Database) -> Result<()> {
        let settled = db.read(async |conn| conn.events().settled().await).await?;
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
        open.streams[usize::from(self.is_platform_admin)] -= 1;
        open.snapshots[usize::from(self.is_platform_admin)] -= usize::from(self.kind == Kind::Snapshot);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::models::{IpRanges, OrganizationId, Presented, Principal, Scopes, SessionId, UserId};

    fn caller(principal: Principal) -> Caller {
        Caller {
            presented: Presented::Session(SessionId(Uuid::nil())),
            address: None,
            principal,
            accountable: principal.id(),
            scopes: Scopes::default().into(),
            ip_ranges: IpRanges::default().into(),
            rate_limit: None,
            expires_at: None,
            ends_at: None,
            is_former_secret: false,
        }
    }

    #[test]
    fn no_tenant_and_not_all_of_them_take_every_stream() {
        let feed = Feed::new(50, Shares::default());
        let admin = caller(Principal::User { id: UserId(Uuid::nil()), is_platform_admin: true });
        let mut slots = Vec::new();
        for tenant in 1..=20 {
            let tenant = caller(Principal::Organization(OrganizationId(Uuid::from_u128(tenant))));
            while let Ok(slot) = feed.open(&tenant, Kind::Watch) {
                slots.push(slot);
            }
            assert!(slots.len() <= 40);
        }
        assert_eq!(slots.len(), 40, "each of the first eight has five");
        while let Ok(slot) = feed.open(&admin, Kind::Watch) {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 50);
        slots.clear();
        assert!(feed.open(&admin, Kind::Watch).is_ok());
    }

    #[test]
    fn organizations_of_one_user_have_together_what_one_tenant_has() {
        let feed = Feed::new(50, Shares::default());
        let accountable = PrincipalId(Uuid::from_u128(99));
        let tenant =
            |id| Caller { accountable, ..caller(Principal::Organization(OrganizationId(Uuid::from_u128(id)))) };
        let mut slots: Vec<Slot> = (0..20).filter_map(|id| feed.open(&tenant(id), Kind::Watch).ok()).collect();
        assert_eq!(slots.len(), 5);
        slots.clear();
        let snapshot = feed.open(&tenant(1), Kind::Snapshot).unwrap();
        assert!(feed.open(&tenant(2), Kind::Snapshot).is_err());
        let other = caller(Principal::Organization(OrganizationId(Uuid::from_u128(3))));
        assert!(feed.open(&other, Kind::Snapshot).is_ok());
        drop(snapshot);
        assert!(feed.open(&tenant(2), Kind::Snapshot).is_ok());
    }

    #[test]
    fn tenants_leave_half_of_the_snapshots() {
        let feed = Feed::new(1000, Shares::default());
        let tenant = |id| caller(Principal::Organization(OrganizationId(Uuid::from_u128(id))));
        let _slots: Vec<Slot> = (0..2).map(|id| feed.open(&tenant(id), Kind::Snapshot).unwrap()).collect();
        assert!(feed.open(&tenant(2), Kind::Snapshot).is_err());
        let admin = caller(Principal::User { id: UserId(Uuid::nil()), is_platform_admin: true });
        let _admins: Vec<Slot> = (0..2).map(|_| feed.open(&admin, Kind::Snapshot).unwrap()).collect();
        assert!(feed.open(&admin, Kind::Snapshot).is_err());
    }
}
