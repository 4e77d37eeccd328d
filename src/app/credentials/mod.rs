//! What the check of an API key knows without asking the database.
//!
//! A key that was looked up is remembered, with what its owner is. Whatever changes either is noticed: at once if this process
//! made the change, and otherwise by following the events, see `follow`. Nothing remembered is used longer than [`BOUND`] after
//! the database last confirmed it: a process that cannot ask the database forgets, rather than let a revoked key pass.

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

pub use self::change::Forgotten;
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

/// How long after a change any process still answers as before it.
pub const BOUND: Duration = Duration::from_secs(1);

/// Least bytes that a remembered key is counted with: what an entry takes without its texts. It bounds the number of entries.
const LEAST_BYTES: u64 = 1024;
/// Most keys that are remembered as unknown, each for at most [`BOUND`].
const MAX_UNKNOWN: u64 = 10_000;
/// Most users and organizations of which is remembered whether the one sees the keys of the other.
const MAX_STANDINGS: u64 = 10_000;
/// How many of each room is made for at first: nothing is taken for what may never come.
const EXPECTED: usize = 256;
/// How often a look at the database is repeated because something changed meanwhile, before its result is used just once.
const LOOKS: usize = 3;

/// What is known of API keys.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    db: Database,
    encode: fn(ApiKey) -> Vec<u8>,
    shares: Shares,
    known: Cache<KeyPrefix, Arc<Known>, Weight>,
    unknown: Cache<KeyPrefix, Instant>,
    standings: Cache<(UserId, OrganizationId), (bool, Stamp)>,
    changes: Changes,
    freshness: Freshness,
    uses: Uses,
}

/// A key as it was found.
pub struct Known {
    /// The key with what its owner is.
    pub credential: Credential,
    /// Which of its secrets it was found by.
    pub prefix: KeyPrefix,
    /// Who calls with it.
    pub caller: Caller,
    /// The key, encoded as verifications return it.
    pub encoded: Bytes,
    /// What of the server its calls use.
    pub share: Arc<Share>,
    stamp: Stamp,
    last_use: LastUse,
    /// Until when the look that found it may be relied on by itself.
    until: Instant,
}

/// What is known of something, and until when that may be relied on.
pub struct Answer<T> {
    /// What is known.
    pub found: T,
    /// Until when.
    pub until: Instant,
    /// Whether it may be relied on longer as long as it is not forgotten.
    pub is_kept: bool,
}

/// What a key takes of the room for all.
#[derive(Clone, Copy)]
struct Weight;

impl Weighter<KeyPrefix, Arc<Known>> for Weight {
    fn weight(&self, _: &KeyPrefix, known: &Arc<Known>) -> u64 {
        // The texts are there twice, as they are and encoded, and each of the small ones with an allocation of its own.
        let texts = u64::try_from(known.encoded.len()).unwrap_or(u64::MAX);
        LEAST_BYTES.saturating_add(texts.saturating_mul(3))
    }
}

impl Credentials {
    /// Remembers keys of a database in about as many bytes, and when they were used as coarsely as said.
    pub fn new(db: Database, encode: fn(ApiKey) -> Vec<u8>, shares: Shares, bytes: u64, usage_unit: Duration) -> Self {
        Self(Arc::new(Inner {
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

    /// The key of a prefix, if that is known without asking the database; the inner `None` is a key that nobody has.
    pub fn at_hand(&self, prefix: &KeyPrefix) -> Option<Answer<Option<Arc<Known>>>> {
        if let Some(known) = self.0.known.get(prefix)
            && let Some(until) = self.vouched(&known)
        {
            return Some(Answer { found: Some(known), until, is_kept: true });
        }
        let until = self.0.unknown.get(prefix).filter(|until| *until > Instant::now())?;
        Some(Answer { found: None, until, is_kept: false })
    }

    /// Until when a key may be relied on: as long as this process hears what others change, or for as long as a look by itself counts.
    fn vouched(&self, known: &Known) -> Option<Instant> {
        let until = self.0.freshness.until().or_else(|| Some(known.until).filter(|until| *until > Instant::now()));
        until.filter(|_| self.0.changes.has_not_changed(&known.stamp))
    }

    /// The key of a prefix. Whoever asks for the same key meanwhile waits for the same look at the database.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn find(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<Known>>>> {
        match self.at_hand(prefix) {
            Some(answer) => Ok(answer),
            // Apart, so that whoever finds the key at hand does not carry what it takes to look it up.
            None => Box::pin(self.find_in_database(prefix)).await,
        }
    }

    async fn find_in_database(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<Known>>>> {
        let Inner { known, unknown, .. } = &*self.0;
        known.remove_if(prefix, |known| self.vouched(known).is_none());
        let turn = known.get_value_or_guard_async(prefix).await.err();
        // Whoever had the turn before has found it, or found that there is none.
        if let Some(answer) = self.at_hand(prefix) {
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

    /// Looks a key up in the database. What changed meanwhile the result may not show: then it is not kept.
    async fn look_up(&self, prefix: &KeyPrefix) -> Result<Answer<Option<Arc<Known>>>> {
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
                Arc::new(Known {
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

    /// Whether a user sees the keys of an organization, if that is known without asking the database.
    pub fn standing_at_hand(&self, user: UserId, organization: OrganizationId) -> Option<Answer<bool>> {
        let until = self.0.freshness.until()?;
        let (found, stamp) = self.0.standings.get(&(user, organization))?;
        self.0.changes.has_not_changed(&stamp).then_some(Answer { found, until, is_kept: true })
    }

    /// Whether a user sees the keys of an organization.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Answer<bool>> {
        if let Some(answer) = self.standing_at_hand(user, organization) {
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

    /// Notes that a key is used.
    pub fn note_use(&self, known: &Known, now: Timestamp) {
        self.0.uses.note(&known.prefix, &known.last_use, now);
    }

    /// Takes the last uses that were noted, to be written.
    pub fn take_uses(&self) -> HashMap<KeyPrefix, Timestamp> {
        self.0.uses.take()
    }

    /// Notes uses that could not be written.
    pub fn put_uses_back(&self, prefixes: &[KeyPrefix], at: Timestamp) {
        for prefix in prefixes {
            self.0.uses.put(*prefix, at);
        }
    }

    /// Forgets what a committed change has made old.
    pub fn forget(&self, forgotten: Vec<Forgotten>) {
        for forgotten in forgotten {
            self.0.changes.forget(forgotten);
        }
    }

    /// True if nothing has changed that concerns a key since it was found.
    pub fn has_not_changed(&self, known: &Known) -> bool {
        self.0.changes.has_not_changed(&known.stamp)
    }

    /// Until when what was found of all that has not changed may be relied on. `None` if nothing may.
    pub fn until(&self) -> Option<Instant> {
        self.0.freshness.until()
    }

    /// Tells from now on what is forgotten.
    pub fn forgotten(&self) -> broadcast::Receiver<Forgotten> {
        self.0.changes.forgotten()
    }

    /// Follows the events of the database, as long as anybody asks for keys. It runs until it is dropped.
    pub async fn follow(self) {
        follow::follow(&self.0).await;
    }
}
