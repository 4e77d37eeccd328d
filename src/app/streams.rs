//! The limits on open streams.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    app::shares::{Shares, Use, Used},
    error::{Error, Result},
    models::{Caller, PrincipalId},
};

/// Maximum number of concurrent snapshots: each holds a connection, and the database retains the rows it shows. Tenants get half.
const MAX_SNAPSHOTS: usize = 4;

/// The open streams of a process.
#[derive(Clone)]
pub struct Streams(Arc<Limited>);

struct Limited {
    open: Mutex<Open>,
    max: usize,
    shares: Shares,
}

/// Counts of open streams.
#[derive(Default)]
struct Open {
    /// By tenants, and by platform admins.
    streams: [usize; 2],
    snapshots: [usize; 2],
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Follows the events.
    Watch,
    /// Sends the current state.
    Snapshot,
    /// Answers questions about API keys.
    Verify,
    /// Imports users.
    Import,
    /// Sends what is stored about a user.
    OwnData,
}

/// The right to have a stream open, until it is dropped.
pub struct Slot {
    streams: Streams,
    is_platform_admin: bool,
    kind: StreamKind,
    _part: Option<Part>,
}

/// A stream's use of the accountable owner's share: of its streams, and of its snapshots. Streams of platform admins use none.
type Part = (Used, Option<Used>);

impl Streams {
    /// No open streams, and at most `max`. Those of each accountable owner are counted in `shares`.
    pub fn new(max: usize, shares: Shares) -> Self {
        Self(Arc::new(Limited { open: Mutex::default(), max, shares }))
    }

    /// Takes the right to have a stream open. An accountable owner gets at most a tenth of all streams, and one snapshot; all tenants
    /// together leave the last fifth of the streams, and half of the snapshots, to platform admins.
    ///
    /// # Errors
    /// [`Error::StreamLimitReached`].
    pub fn open(&self, caller: &Caller, kind: StreamKind) -> Result<Slot> {
        let max = self.0.max;
        let (is_platform_admin, is_snapshot) = (caller.is_platform_admin(), kind == StreamKind::Snapshot);
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
        Ok(Slot { streams: self.clone(), is_platform_admin, kind, _part: part })
    }

    /// Takes one more stream from the share of an accountable owner.
    fn part(&self, accountable: PrincipalId, is_snapshot: bool) -> Option<Part> {
        let share = self.0.shares.of(accountable);
        let stream = share.take(Use::Streams, self.0.max.div_ceil(10))?;
        let snapshot = if is_snapshot { Some(share.take(Use::Snapshots, 1)?) } else { None };
        Some((stream, snapshot))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.streams[usize::from(self.is_platform_admin)] -= 1;
        open.snapshots[usize::from(self.is_platform_admin)] -= usize::from(self.kind == StreamKind::Snapshot);
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
        let streams = Streams::new(50, Shares::default());
        let admin = caller(Principal::User { id: UserId(Uuid::nil()), is_platform_admin: true });
        let mut slots = Vec::new();
        for tenant in 1..=20 {
            let tenant = caller(Principal::Organization(OrganizationId(Uuid::from_u128(tenant))));
            while let Ok(slot) = streams.open(&tenant, StreamKind::Watch) {
                slots.push(slot);
            }
            assert!(slots.len() <= 40);
        }
        assert_eq!(slots.len(), 40, "each of the first eight has five");
        while let Ok(slot) = streams.open(&admin, StreamKind::Watch) {
            slots.push(slot);
        }
        assert_eq!(slots.len(), 50);
        slots.clear();
        assert!(streams.open(&admin, StreamKind::Watch).is_ok());
    }

    #[test]
    fn organizations_of_one_user_have_together_what_one_tenant_has() {
        let streams = Streams::new(50, Shares::default());
        let accountable = PrincipalId(Uuid::from_u128(99));
        let tenant =
            |id| Caller { accountable, ..caller(Principal::Organization(OrganizationId(Uuid::from_u128(id)))) };
        let mut slots: Vec<Slot> = (0..20).filter_map(|id| streams.open(&tenant(id), StreamKind::Watch).ok()).collect();
        assert_eq!(slots.len(), 5);
        slots.clear();
        let snapshot = streams.open(&tenant(1), StreamKind::Snapshot).unwrap();
        assert!(streams.open(&tenant(2), StreamKind::Snapshot).is_err());
        let other = caller(Principal::Organization(OrganizationId(Uuid::from_u128(3))));
        assert!(streams.open(&other, StreamKind::Snapshot).is_ok());
        drop(snapshot);
        assert!(streams.open(&tenant(2), StreamKind::Snapshot).is_ok());
    }

    #[test]
    fn tenants_leave_half_of_the_snapshots() {
        let streams = Streams::new(1000, Shares::default());
        let tenant = |id| caller(Principal::Organization(OrganizationId(Uuid::from_u128(id))));
        let _slots: Vec<Slot> = (0..2).map(|id| streams.open(&tenant(id), StreamKind::Snapshot).unwrap()).collect();
        assert!(streams.open(&tenant(2), StreamKind::Snapshot).is_err());
        let admin = caller(Principal::User { id: UserId(Uuid::nil()), is_platform_admin: true });
        let _admins: Vec<Slot> = (0..2).map(|_| streams.open(&admin, StreamKind::Snapshot).unwrap()).collect();
        assert!(streams.open(&admin, StreamKind::Snapshot).is_err());
    }
}
