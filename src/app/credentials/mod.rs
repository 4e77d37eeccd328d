//! The cache of API keys.
//!
//! A key is cached together with the state of its owner. A change of either is noticed at once if this process makes it, and otherwise
//! by following the events, see `follow`. No entry is used longer than [`BOUND`] after the database last confirmed it: a process that
//! cannot reach the database drops its entries rather than accept a revoked key.
//!
//! Every function that returns a [`Result`] fails with [`crate::error::Error::Unavailable`] if the database cannot be reached.

mod change;
mod follow;
mod usage;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quick_cache::{UnitWeighter, Weighter, sync::Cache};
use tokio::sync::broadcast;

pub use self::change::Invalidation;
use self::{
    change::{Changes, Stamp},
    follow::Freshness,
    usage::{LastUse, Uses},
};
use crate::{
    app::shares::{Share, Shares},
    db::Database,
    error::Result,
    models::{ApiKey, Caller, Credential, OrganizationId, Timestamp, UserId, api_key::KeyPrefix, permission},
};

/// How long after a change another process may still answer as before it.
pub const BOUND: Duration = Duration::from_secs(1);

/// Minimum weight of a cached key, in bytes: an entry without its texts. It bounds the number of entries.
const LEAST_BYTES: u64 = 1024;
/// Maximum number of prefixes cached as unknown, each for at most [`BOUND`].
const MAX_UNKNOWN: u64 = 10_000;
/// Maximum number of cached pairs of a user and an organization, with whether the user sees the organization's keys.
const MAX_STANDINGS: u64 = 10_000;
/// Initial capacity of each cache; more is allocated only when needed.
const EXPECTED: usize = 256;
/// Maximum lookups of a key if something changes during each. The result of the last one is used once and not cached.
const LOOKS: usize = 3;

/// The cache of API keys.
#[derive(Clone)]
pub struct Credentials(Arc<Shared>);

struct Shared {
    db: Database,
    encode: fn(ApiKey) -> Vec<u8>,
    shares: Shares,
    known: Cache<KeyPrefix, Arc<CachedKey>, Weight>,
    unknown: Cache<KeyPrefix, Instant>,
    standings: Cache<(UserId, OrganizationId), (bool, Stamp)>,
    changes: Changes,
    freshness: Freshness,
    uses: Uses,
}

/// A cached key.
pub struct CachedKey {
    /// The key and the state of its owner.
    pub credential: Credential,
    /// The prefix of the secret that it was found by.
    pub prefix: KeyPrefix,
    /// The caller that presents the key.
    pub caller: Caller,
    /// The key, encoded as verifications return it.
    pub encoded: Bytes,
    /// Resource use of the accountable owner's calls.
    pub share: Arc<Share>,
    stamp: Stamp,
    last_use: LastUse,
    /// Until when the lookup that found it may be relied on without the events.
    until: Instant,
}

/// A result and how long it may be relied on.
pub struct Answer<T> {
    /// The result.
    pub found: T,
    /// The end of that time.
    pub until: Instant,
    /// Whether it may be relied on longer, until it is invalidated.
    pub is_kept: bool,
}

/// The weight of a key in the cache.
#[derive(Clone, Copy)]
struct Weight;

impl Weighter<KeyPrefix, Arc<CachedKey>> for Weight {
    fn weight(&self, _: &KeyPrefix, known: &Arc<CachedKey>) -> u64 {
        // The texts are stored twice, plain and encoded, and each of the small ones has an allocation of its own.
        let texts = u64::try_from(known.encoded.len()).unwrap_or(u64::MAX);
        LEAST_BYTES.saturating_add(texts.saturating_mul(3))
    }
}

impl Credentials {
    /// A cache of about `bytes` bytes. Times of last use are rounded down to `usage_unit`.
    pub fn new(db: Database, encode: fn(ApiKey) -> Vec<u8>, shares: Shares, bytes: u64, usage_unit: Duration) -> Self {
        Self(Arc::new(Shared {
            db,
            encode,
            shares,
            known: Cache::with_weighter(EXPECTED, bytes, Weight),
            unknown: Cache::with_weighter(EXPECTED, MAX_UNKNOWN, UnitWeighter),
            standings: Cache::with_weighter(EXPECTED, MAX_STANDINGS, UnitWeighter),
            changes: Changes::default(),
            freshness: Freshness::default(),
            uses: Uses::new(usage_unit),
        }))
    }

    /// The cached key of a prefix. `Some` with `found: None` is a prefix that is known not to exist.
    pub fn cached(&self, prefix: &KeyPrefix) -> Option<Answer<Option<Arc<CachedKey>>>> {
        if let Some(known) = self.0.known.get(prefix)
            && let Some(until) = self.vouched(&known)
        {
            return Some(Answer { found: Some(known), until, is_kept: true });
        }
        let until = self.0.unknown.get(prefix).filter(|until| *until > Instant::now())?;
        Some(Answer { found: None, until, is_kept: false })
    }

    /// Until when a key may be relied on: as long as the events are followed, or else as long as its lookup counts.
    fn vouched(&self, known: &CachedKey) -> Option<Instant> {
        let until = self.0.freshness.until().or_else(|| Some(known.until).filter(|until| *until > Instant::now()));
        until.filter(|_| self.0.changes.has_not_changed(&known.stamp))
    }

    /// The key of a prefix. Concurrent callers that ask for the same key share one lookup.
    pub async fn find(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<CachedKey>>>> {
        match self.cached(prefix) {
            Some(answer) => Ok(answer),
            // Boxed, so that a cache hit does not carry the state of a lookup.
            None => Box::pin(self.find_in_database(prefix)).await,
        }
    }

    async fn find_in_database(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<CachedKey>>>> {
        let Shared { known, unknown, .. } = &*self.0;
        known.remove_if(prefix, |known| self.vouched(known).is_none());
        let turn = known.get_value_or_guard_async(prefix).await.err();
        // The previous holder of the turn may have cached the key, or that it does not exist.
        if let Some(answer) = self.cached(prefix) {
            return Ok(answer);
        }
        let answer = self.look_up(prefix).await?;
        match (&answer.found, turn) {
            (Some(found), Some(turn)) if answer.is_kept => drop(turn.insert(Arc::clone(found))),
            (None, _) => unknown.insert(*prefix, answer.until),
            _ => {}
        }
        Ok(answer)
    }

    /// Looks a key up in the database. A result that may miss a concurrent change is not cached.
    async fn look_up(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<CachedKey>>>> {
        let mut look = 1;
        loop {
            let (until, moment) = (Instant::now() + BOUND, self.0.changes.moment());
            let found = self.0.db.read(async |conn| conn.api_keys().credential(prefix).await).await?;
            let known = found.map(|credential| {
                let owner = credential.principal.id();
                let stamp = self.0.changes.stamp(&[credential.key.id.0, owner.0, change::accountable(owner)]);
                let share = self.0.shares.of(credential.accountable);
                let caller = credential.caller(*prefix);
                let encoded = (self.0.encode)(credential.key.clone()).into();
                Arc::new(CachedKey {
                    credential,
                    prefix: *prefix,
                    caller,
                    encoded,
                    share,
                    stamp,
                    last_use: LastUse::default(),
                    until,
                })
            });
            let is_kept = self.0.changes.moment() == moment;
            if is_kept || look == LOOKS {
                return Ok(Answer { found: known, until, is_kept });
            }
            look += 1;
        }
    }

    /// Whether a user sees the keys of an organization, if cached.
    pub fn cached_standing(&self, user: UserId, organization: OrganizationId) -> Option<Answer<bool>> {
        let until = self.0.freshness.until()?;
        let (found, stamp) = self.0.standings.get(&(user, organization))?;
        self.0.changes.has_not_changed(&stamp).then_some(Answer { found, until, is_kept: true })
    }

    /// Whether a user sees the keys of an organization, from the cache or the database.
    pub async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Answer<bool>> {
        if let Some(answer) = self.cached_standing(user, organization) {
            return Ok(answer);
        }
        let (until, moment) = (Instant::now() + BOUND, self.0.changes.moment());
        let held = self.0.db.read(async |conn| conn.memberships().held(user, organization).await).await?;
        let found = held.covers(permission::READ_API_KEYS);
        let stamp = self.0.changes.stamp(&[change::standing(user, organization), organization.0]);
        let is_kept = self.0.changes.moment() == moment;
        if is_kept {
            self.0.standings.insert((user, organization), (found, stamp));
        }
        Ok(Answer { found, until, is_kept })
    }

    /// Notes a use of a key.
    pub fn note_use(&self, known: &CachedKey, now: Timestamp) {
        self.0.uses.note(&known.prefix, &known.last_use, now);
    }

    /// Takes the noted uses, to write them.
    pub fn take_uses(&self) -> HashMap<KeyPrefix, Timestamp> {
        self.0.uses.take()
    }

    /// Puts back uses that could not be written.
    pub fn restore_uses(&self, prefixes: &[KeyPrefix], at: Timestamp) {
        for prefix in prefixes {
            self.0.uses.put(*prefix, at);
        }
    }

    /// Invalidates what a committed change has outdated.
    pub fn forget(&self, forgotten: Vec<Invalidation>) {
        for forgotten in forgotten {
            self.0.changes.forget(forgotten);
        }
    }

    /// True if no change has affected a key since it was found.
    pub fn has_not_changed(&self, known: &CachedKey) -> bool {
        self.0.changes.has_not_changed(&known.stamp)
    }

    /// Until when unchanged entries may be relied on. `None` if they may not.
    pub fn until(&self) -> Option<Instant> {
        self.0.freshness.until()
    }

    /// Subscribes to invalidations.
    pub fn forgotten(&self) -> broadcast::Receiver<Invalidation> {
        self.0.changes.forgotten()
    }

    /// Follows the events of the database while keys are being asked for. Runs until it is dropped.
    pub async fn follow(self) {
        follow::follow(&self.0).await;
    }
}
