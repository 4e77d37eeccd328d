//! Refuses calls beyond the capacity of the server before they cost anything, so that admitted calls stay fast however many are sent.
//! Calls that others depend on are refused last.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use uuid::Uuid;

use crate::{
    app::shares::{Share, Shares, Use, Used},
    error::{Error, Result},
    models::{PrincipalId, Priority},
};

/// The share of all places, in sixteenths, that calls of a priority may fill. Higher priorities always have room that lower ones cannot
/// take.
fn share(priority: Priority) -> usize {
    match priority {
        Priority::Verify => 16,
        Priority::Refresh => 15,
        Priority::Read => 14,
        Priority::Write => 12,
        Priority::SignIn => 8,
        Priority::Import => 4,
    }
}

/// One owner may have this fraction, a quarter, of the places of a priority. Platform admins may have all.
const PARTS: usize = 4;
/// How many calls of one owner, and of a platform admin, may wait without a place, for their message or for their turn. In halves of the
/// number of places.
const WAITING_OF_OWNER: usize = 1;
const WAITING_OF_ADMIN: usize = 16;
/// Maximum number of calls whose credential is being looked up, in multiples of the number of places, and the fraction of them that may
/// come from one peer.
const LOOKUPS: usize = 8;
const LOOKUPS_OF_A_PEER: usize = 4;
/// Maximum number of open streams without a credential, per kind and peer.
const STREAMS_OF_A_PEER: usize = 16;

/// Bounds the calls in flight. A stream counts as one until it has started.
#[derive(Clone)]
pub struct Overload(Arc<Places>);

struct Places {
    in_flight: AtomicUsize,
    lookups: AtomicUsize,
    max: usize,
    max_streams: usize,
    /// Streams without a credential, counted together.
    anybody: Arc<Share>,
    shown: Gauge,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Overload {
    /// Admits up to `max` calls, and up to `max_streams` streams without a credential per kind.
    pub fn new(max: usize, max_streams: usize) -> Self {
        Self(Arc::new(Places {
            in_flight: AtomicUsize::new(0),
            lookups: AtomicUsize::new(0),
            max,
            max_streams,
            anybody: Shares::default().of(PrincipalId(Uuid::nil())),
            shown: Gauge::default(),
            refused: Family::default(),
        }))
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls_in_flight", "Calls in flight", self.0.shown.clone());
        let help = "Calls refused because the server was at capacity, by priority";
        registry.register("calls_shed", help, self.0.refused.clone());
    }

    /// Updates the gauge of calls in flight.
    pub fn observe(&self) {
        let in_flight = self.0.in_flight.load(Ordering::Relaxed);
        self.0.shown.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    /// Refuses work of a priority early if no place is free for it.
    ///
    /// # Errors
    /// [`Error::Overloaded`], as for everything that takes a place.
    pub fn has_place(&self, priority: Priority) -> Result<()> {
        let is_free = self.0.in_flight.load(Ordering::Relaxed) < self.most(priority);
        if is_free { Ok(()) } else { Err(self.refuse(priority)) }
    }

    /// A place for work of a priority.
    pub fn place(&self, priority: Priority) -> Result<Place<'_>> {
        take(&self.0.in_flight, self.most(priority)).ok_or_else(|| self.refuse(priority))
    }

    /// The right of a call from a peer to have its credential looked up.
    pub fn lookup(&self, peer: &Arc<Share>, priority: Priority) -> Result<(Used, Place<'_>)> {
        let most = self.0.max.saturating_mul(LOOKUPS);
        let of_peer = peer.take(Use::Lookups, (most / LOOKUPS_OF_A_PEER).max(1));
        of_peer.zip(take(&self.0.lookups, most)).ok_or_else(|| self.refuse(priority))
    }

    fn most(&self, priority: Priority) -> usize {
        (self.0.max * share(priority) / 16).max(1)
    }

    /// How many calls one owner may have in flight when one of a priority begins.
    pub fn most_of_owner(&self, priority: Priority) -> usize {
        (self.most(priority) / PARTS).max(1)
    }

    /// How many calls of one owner may wait without a place.
    pub fn most_waiting(&self, is_platform_admin: bool) -> usize {
        let halves = if is_platform_admin { WAITING_OF_ADMIN } else { WAITING_OF_OWNER };
        (self.0.max * halves / 2).max(1)
    }

    /// A place for a stream without a credential. A peer gets few, so that a few peers cannot take them all. Health watches are counted
    /// separately from reflection.
    pub fn public_stream(&self, peer: &Arc<Share>, is_watch: bool) -> Result<[Used; 2]> {
        let what = if is_watch { Use::Watches } else { Use::Reflections };
        let of_peer = peer.take(what, STREAMS_OF_A_PEER).ok_or(Error::StreamLimitReached)?;
        let of_all = self.0.anybody.take(what, self.0.max_streams).ok_or(Error::StreamLimitReached)?;
        Ok([of_peer, of_all])
    }

    /// Counts a refusal.
    pub fn refuse(&self, priority: Priority) -> Error {
        self.0.refused.get_or_create(&[("priority", priority.name())]).inc();
        Error::Overloaded
    }
}

/// Takes one of `most` places.
fn take(places: &AtomicUsize, most: usize) -> Option<Place<'_>> {
    let before = places.fetch_add(1, Ordering::Relaxed);
    let place = Place(places);
    (before < most).then_some(place)
}

/// A call in flight, until it is dropped.
pub struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_last_is_refused_first_and_what_comes_first_last() {
        let overload = Overload::new(128, 1);
        let mut held = Vec::new();
        let mut refused = Vec::new();
        while refused.len() < Priority::ALL.len() {
            for priority in Priority::ALL.into_iter().rev() {
                if !refused.contains(&priority) && overload.place(priority).is_err() {
                    refused.push(priority);
                }
            }
            held.extend(overload.place(Priority::Verify).ok());
        }
        let last_first: Vec<Priority> = Priority::ALL.into_iter().rev().collect();
        assert_eq!(refused, last_first);
        assert_eq!(held.len(), 128, "a refused call takes no place");
    }

    #[test]
    fn every_priority_has_a_place_on_the_smallest_server() {
        let overload = Overload::new(1, 1);
        for priority in Priority::ALL {
            assert!(overload.place(priority).is_ok(), "{priority:?}");
            assert_eq!(overload.most_of_owner(priority), 1, "{priority:?}");
        }
    }

    #[test]
    fn four_owners_take_no_more_than_there_is_for_a_priority() {
        let overload = Overload::new(128, 1);
        let of_owner = |priority| overload.most_of_owner(priority);
        assert_eq!(Priority::ALL.map(of_owner), [32, 30, 28, 24, 16, 8]);
    }

    #[test]
    fn no_peer_has_every_public_stream_and_one_kind_takes_nothing_from_the_other() {
        let (overload, shares) = (Overload::new(1, 40), Shares::default());
        let peers: Vec<_> = (1..=3).map(|last| shares.of_peer([192, 0, 2, last].into())).collect();
        let watches =
            |peer: &Arc<Share>| std::iter::from_fn(|| overload.public_stream(peer, true).ok()).collect::<Vec<_>>();
        let mut held: Vec<_> = peers.iter().map(watches).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 8]);
        assert!(overload.public_stream(&peers[2], false).is_ok());
        held.remove(0);
        assert!(overload.public_stream(&peers[2], true).is_ok(), "places are returned");
    }
}
