//! Use of limited resources per accountable owner.
//!
//! Uses are not counted per API key, session or organization, of which a user can create many, but for the user or the organization behind
//! the credential, see [`Caller::accountable`](crate::models::Caller::accountable), and before authentication for the network that the
//! call comes from.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::models::{PrincipalId, ip_range::network};

/// Number of tables that the shares are spread over, to keep lock contention low.
const TABLES: usize = 16;

/// The owner that something is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Accountable {
    Owner(PrincipalId),
    /// An address, or an IPv6 network of 64 bits.
    Peer(IpAddr),
}

/// The shares of all owners and peers.
#[derive(Clone)]
pub struct Shares(Arc<Tables>);

struct Tables {
    tables: [Mutex<HashMap<Accountable, Weak<Share>>>; TABLES],
    hashing: RandomState,
}

/// The use of one accountable owner. All credentials of the owner lead to the same share, which is dropped once it is no longer held.
pub struct Share {
    accountable: Accountable,
    all: Weak<Tables>,
    uses: [AtomicUsize; 9],
}

/// The kinds of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Calls in flight.
    Calls,
    /// Calls that wait for the rest of their request, or for their turn to build a large answer.
    Waiting,
    /// Bytes of answers that are being built or not yet taken.
    Bytes,
    /// Health watches without a credential.
    Watches,
    /// Reflection streams without a credential.
    Reflections,
    /// Places in the hashing queue.
    Hashing,
    /// Streams with a credential.
    Streams,
    /// Snapshots, which are also streams.
    Snapshots,
    /// Calls whose credential is being looked up.
    Lookups,
}

/// A part of a share in use, until it is dropped. It keeps the share, or borrows it.
pub struct Used<S: Deref<Target = Share> = Arc<Share>> {
    share: S,
    what: Use,
    amount: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Self(Arc::new(Tables { tables: Default::default(), hashing: RandomState::new() }))
    }
}

impl Shares {
    /// The share of an owner of credentials.
    pub fn of(&self, owner: PrincipalId) -> Arc<Share> {
        self.share(Accountable::Owner(owner))
    }

    /// The share of the network that an address is in.
    pub fn of_peer(&self, address: IpAddr) -> Arc<Share> {
        self.share(Accountable::Peer(network(address.to_canonical())))
    }

    /// True if no share is stored.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.tables.iter().all(|table| table.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    fn share(&self, accountable: Accountable) -> Arc<Share> {
        let mut table = self.0.table(&accountable).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = table.get(&accountable).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Share { accountable, all: Arc::downgrade(&self.0), uses: Default::default() });
        table.insert(accountable, Arc::downgrade(&share));
        share
    }
}

impl Tables {
    fn table(&self, accountable: &Accountable) -> &Mutex<HashMap<Accountable, Weak<Share>>> {
        let hash = usize::try_from(self.hashing.hash_one(accountable) >> 32).unwrap_or_default();
        let [first, ..] = &self.tables;
        self.tables.get(hash % TABLES).unwrap_or(first)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(all) = self.all.upgrade() else { return };
        let mut table = all.table(&self.accountable).lock().unwrap_or_else(PoisonError::into_inner);
        // A new share may have been stored since the last reference to this one was dropped.
        if table.get(&self.accountable).is_some_and(|share| share.strong_count() == 0) {
            table.remove(&self.accountable);
        }
    }
}

impl Share {
    fn count(&self, what: Use) -> &AtomicUsize {
        let [calls, waiting, bytes, watches, reflections, hashing, streams, snapshots, lookups] = &self.uses;
        match what {
            Use::Calls => calls,
            Use::Waiting => waiting,
            Use::Bytes => bytes,
            Use::Watches => watches,
            Use::Reflections => reflections,
            Use::Hashing => hashing,
            Use::Streams => streams,
            Use::Snapshots => snapshots,
            Use::Lookups => lookups,
        }
    }

    /// How much is in use.
    pub fn used(&self, what: Use) -> usize {
        self.count(what).load(Relaxed)
    }

    /// Uses one more, if fewer than `most` are in use.
    pub fn take(self: &Arc<Self>, what: Use, most: usize) -> Option<Used> {
        self.take_if(what, 1, |used| used < most)
    }

    /// Uses one more while the share is borrowed. Every call does this, and saves counting a reference to the share.
    pub fn borrow(&self, what: Use, most: usize) -> Option<Used<&Self>> {
        self.add(what, 1, |used| used < most).then(|| Used { share: self, what, amount: 1 })
    }

    /// Uses `amount` more, if `allows` accepts what is already in use.
    pub fn take_if(self: &Arc<Self>, what: Use, amount: usize, allows: impl Fn(usize) -> bool) -> Option<Used> {
        self.add(what, amount, allows).then(|| Used { share: Arc::clone(self), what, amount })
    }

    fn add(&self, what: Use, amount: usize, allows: impl Fn(usize) -> bool) -> bool {
        let more = |used| allows(used).then(|| used.saturating_add(amount));
        self.count(what).fetch_update(Relaxed, Relaxed, more).is_ok()
    }
}

impl<S: Deref<Target = Share>> Used<S> {
    /// The amount in use.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Gives back everything beyond `amount`.
    pub fn shrink(&mut self, amount: usize) {
        let beyond = self.amount.saturating_sub(amount);
        self.share.count(self.what).fetch_sub(beyond, Relaxed);
        self.amount -= beyond;
    }
}

impl<S: Deref<Target = Share>> Drop for Used<S> {
    fn drop(&mut self) {
        // All cores write to the counters of a busy owner. A write of nothing would cost the same.
        if self.amount > 0 {
            self.share.count(self.what).fetch_sub(self.amount, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_accountable_owner_has_one_share_and_nothing_is_remembered_of_who_uses_nothing() {
        let shares = Shares::default();
        let owner = PrincipalId(Uuid::from_u128(1));
        let (one, same) = (shares.of(owner), shares.of(owner));
        let held = one.take(Use::Calls, 1).unwrap();
        assert!(same.take(Use::Calls, 1).is_none(), "it is the same share");
        assert!(same.take(Use::Waiting, 1).is_some(), "each kind is counted separately");
        assert!(shares.of(PrincipalId(Uuid::from_u128(2))).take(Use::Calls, 1).is_some());
        drop((one, same));
        assert_eq!(shares.of(owner).used(Use::Calls), 1, "a use in progress keeps the share");
        drop(held);
        assert!(shares.is_empty());
    }

    #[test]
    fn a_network_is_one_peer_whatever_its_addresses() {
        let shares = Shares::default();
        let peer = |address: &str| shares.of_peer(address.parse().unwrap());
        let _held = (peer("2001:db8::1").take(Use::Calls, 1).unwrap(), peer("192.0.2.1").take(Use::Calls, 1).unwrap());
        assert!(peer("2001:db8::2").take(Use::Calls, 1).is_none());
        assert!(peer("::ffff:192.0.2.1").take(Use::Calls, 1).is_none());
        assert!(peer("2001:db8:0:1::1").take(Use::Calls, 1).is_some());
    }

    #[test]
    fn what_is_given_back_early_is_given_back_once() {
        let share = Shares::default().of(PrincipalId(Uuid::nil()));
        let mut held = share.take_if(Use::Bytes, 100, |_| true).unwrap();
        held.shrink(30);
        assert_eq!((held.amount(), share.used(Use::Bytes)), (30, 30));
        held.shrink(50);
        drop(held);
        assert_eq!(share.used(Use::Bytes), 0);
    }
}
