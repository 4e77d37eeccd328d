//! Limits the number of connections, in total and per peer.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::models::ip_range::network;

/// Counts connections and refuses those beyond the limits.
#[derive(Clone)]
pub(super) struct Admission(Arc<Shared>);

struct Shared {
    max: u32,
    max_per_peer: u32,
    seats: Mutex<PermitCounts>,
    open: Gauge,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

#[derive(Default)]
struct PermitCounts {
    all: u32,
    of: HashMap<IpAddr, u32>,
}

/// A connection's place, released when dropped.
pub(super) struct ConnectionPermit {
    admission: Arc<Shared>,
    peer: IpAddr,
}

impl Admission {
    pub(super) fn new(max: u32, max_per_peer: u32) -> Self {
        let seats = Mutex::default();
        Self(Arc::new(Shared { max, max_per_peer, seats, open: Gauge::default(), refused: Family::default() }))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Open connections", self.0.open.clone());
        let help = "Connections closed on arrival, by the limit they exceeded";
        registry.register("connections_refused", help, self.0.refused.clone());
    }

    /// A place for a connection from this peer, unless a limit is reached.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<ConnectionPermit> {
        let peer = network(peer.to_canonical());
        let mut seats = self.0.seats();
        let of_peer = seats.of.get(&peer).copied().unwrap_or_default();
        let refused = if seats.all >= self.0.max {
            Some("all")
        } else {
            (self.0.max_per_peer > 0 && of_peer >= self.0.max_per_peer).then_some("peer")
        };
        if let Some(limit) = refused {
            self.0.refused.get_or_create(&[("limit", limit)]).inc();
            return None;
        }
        seats.all += 1;
        seats.of.insert(peer, of_peer + 1);
        self.0.open.inc();
        Some(ConnectionPermit { admission: Arc::clone(&self.0), peer })
    }
}

impl Shared {
    fn seats(&self) -> std::sync::MutexGuard<'_, PermitCounts> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut seats = self.admission.seats();
        seats.all -= 1;
        if let Some(of_peer) = seats.of.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                seats.of.remove(&self.peer);
            }
        }
        self.admission.open.dec();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn a_peer_has_its_part_of_all_places_and_gives_them_back() {
        let admission = Admission::new(3, 2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert!(admission.admit(one).is_none(), "the peer is at its limit");
        let _third = admission.admit(other).unwrap();
        assert!(admission.admit(other).is_none(), "all places are taken");
        drop(first);
        assert!(admission.admit(other).is_some());
        assert_eq!(admission.0.seats().of.len(), 2, "only peers with open connections are kept");
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let admission = Admission::new(10, 1);
        let _first = admission.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(admission.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(admission.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
