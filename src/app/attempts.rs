//! Wrong passwords, beyond what is counted for an account: how many come from one address, or from one caller that tells no address,
//! which bounds who tries many accounts; and the events that they leave, many of a kind as one, and beside the call, so that no answer takes longer
//! where there is an account.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::time::Instant;

use crate::{
    app::App,
    db::Database,
    error::Result,
    models::{Action, Caller, Change, CredentialId, Origin, State, User, UserId, event::Refusal, ip_range::network},
};

/// Most callers and addresses whose wrong tries are counted, and most kinds of events that wait. Beyond that those are forgotten that
/// are the least behind.
const MAX_COUNTED: usize = 50_000;
/// Most users who stand in for nobody, more than any cache has at hand, and how long they do before they are looked for again.
const STAND_INS: (i64, Duration) = (4096, Duration::from_mins(10));

/// How many wrong tries are taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From one address in a minute; 0 for any number.
    pub per_address: u32,
    /// From one caller in a minute that tells no address; 0 for any number.
    pub per_caller: u32,
}

/// Whom wrong tries are counted for, beside the account.
#[derive(Clone, Copy, Debug)]
pub enum Origins {
    /// An address that an application tells, which knows where its users are. Not the application as well: one address that tries
    /// many passwords must not use up what all its users have.
    Address(IpAddr),
    /// The caller itself.
    Caller(CredentialId),
}

impl Origins {
    /// Whom a call counts for that may tell an address. Only platform admins speak for others: anybody else could name an address to
    /// have it refused.
    pub fn of(caller: &Caller, told: Option<IpAddr>) -> Self {
        match told {
            Some(address) if caller.is_platform_admin() => Self::Address(network(address)),
            _ => Self::Caller(caller.presented.id()),
        }
    }
}

/// Wrong tries of this process.
pub struct Attempts {
    limits: Limits,
    addresses: Mutex<HashMap<IpAddr, Instant>>,
    callers: Mutex<HashMap<CredentialId, Instant>>,
    failed: Mutex<HashMap<(Option<UserId>, CredentialId), Failed>>,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    stand_ins: Mutex<(Option<Instant>, Arc<[UserId]>)>,
}

/// Wrong passwords of a user that left no event yet.
struct Failed {
    user: Option<User>,
    origin: Origin,
    reason: &'static str,
    count: u32,
}

impl Attempts {
    /// Counts by limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            addresses: Mutex::default(),
            callers: Mutex::default(),
            failed: Mutex::default(),
            failures: Family::default(),
            stand_ins: Mutex::new((None, Arc::from([]))),
        }
    }

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Credentials that did not let anybody in, by their class";
        registry.register("authentication_failures", help, self.failures.clone());
    }

    /// Counts a credential of a class that does not let anybody in.
    pub fn failed(&self, class: &'static str) {
        self.failures.get_or_create(&[("class", class)]).inc();
    }

    /// How long it takes until the next try is taken, if too many wrong ones came.
    pub fn wait(&self, origin: &Origins) -> Option<Duration> {
        match origin {
            Origins::Address(address) => wait(&self.addresses, address, self.limits.per_address),
            Origins::Caller(caller) => wait(&self.callers, caller, self.limits.per_caller),
        }
    }

    /// Counts a wrong try.
    pub fn count(&self, origin: Origins) {
        match origin {
            Origins::Address(address) => count(&self.addresses, address, self.limits.per_address),
            Origins::Caller(caller) => count(&self.callers, caller, self.limits.per_caller),
        }
    }

    /// Notes a wrong password of a user, which will leave an event. Of nobody it is noted too, which takes as long, and leaves none.
    pub fn note(&self, user: Option<User>, caller: CredentialId, origin: &Origin, reason: &'static str) {
        self.failed("password");
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MAX_COUNTED {
            return;
        }
        let noted = failed.entry((user.as_ref().map(|user| user.id), caller));
        let noted = noted.or_insert_with(|| Failed { user, origin: origin.clone(), reason, count: 0 });
        noted.count = noted.count.saturating_add(1);
    }

    /// Some users with a password, as many as are seldom read, once there are any: one of them is read where nobody is found.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn stand_ins(&self, db: &Database) -> Result<Arc<[UserId]>> {
        let (read_at, known) = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if read_at.is_some_and(|read_at| read_at.elapsed() < STAND_INS.1) && !known.is_empty() {
            return Ok(known);
        }
        let found = db.read(async |conn| conn.passwords().stand_ins(STAND_INS.0).await).await?;
        let found: Arc<[UserId]> = found.into();
        *self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner) = (Some(Instant::now()), Arc::clone(&found));
        Ok(found)
    }
}

/// A bucket that leaks evenly and holds as many as a minute lets out is the moment when it will be empty. This is how long it takes
/// until there is room.
fn wait<K: std::hash::Hash + Eq>(buckets: &Mutex<HashMap<K, Instant>>, key: &K, per_minute: u32) -> Option<Duration> {
    let minute = Duration::from_mins(1);
    let each = minute.checked_div(per_minute)?;
    let empty_at = *buckets.lock().unwrap_or_else(PoisonError::into_inner).get(key)?;
    let full = empty_at.saturating_duration_since(Instant::now()) + each;
    full.checked_sub(minute).filter(|wait| !wait.is_zero())
}

fn count<K: std::hash::Hash + Eq + Clone>(buckets: &Mutex<HashMap<K, Instant>>, key: K, per_minute: u32) {
    let Some(each) = Duration::from_mins(1).checked_div(per_minute) else { return };
    let now = Instant::now();
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    if buckets.len() >= MAX_COUNTED && !buckets.contains_key(&key) {
        buckets.retain(|_, empty_at| *empty_at > now);
        if buckets.len() >= MAX_COUNTED {
            // Those who are behind the most stay.
            let mut times: Vec<Instant> = buckets.values().copied().collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            buckets.retain(|_, empty_at| *empty_at > median);
        }
    }
    let empty_at = buckets.entry(key).or_insert(now);
    *empty_at = (*empty_at).max(now) + each;
}

/// Stores the events of wrong passwords. One that cannot be stored is lost, like that of a refused call.
///
/// # Errors
/// The last error, if some could not be stored.
pub async fn write(app: App) -> Result<()> {
    let failed = std::mem::take(&mut *app.attempts.failed.lock().unwrap_or_else(PoisonError::into_inner));
    let mut written = Ok(());
    for noted in failed.into_values() {
        let Some(user) = noted.user else { continue };
        let mut change = Change::nothing(Action::UserSignInFailed, State::from(user).subject());
        change.refusal = Some(Refusal { reason: noted.reason.to_owned(), count: noted.count });
        if let Err(error) = app.note(&noted.origin, change).await {
            written = Err(error);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_wrong_tries_as_a_minute_allows_are_taken_at_once_and_then_one_after_the_other() {
        let attempts = Attempts::new(Limits { per_address: 6, per_caller: 0 });
        let address = |last| Origins::Address(IpAddr::from([192, 0, 2, last]));
        for _ in 0..6 {
            assert_eq!(attempts.wait(&address(1)), None);
            attempts.count(address(1));
        }
        let wait = attempts.wait(&address(1)).unwrap();
        assert_eq!(wait, Duration::from_secs(10));
        assert_eq!(attempts.wait(&address(2)), None);
        assert_eq!(attempts.wait(&Origins::Caller(CredentialId(Uuid::nil()))), None);
        tokio::time::advance(wait).await;
        assert_eq!(attempts.wait(&address(1)), None);
        attempts.count(address(1));
        assert!(attempts.wait(&address(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_many_addresses_is_bounded_and_so_is_what_is_remembered() {
        let attempts = Attempts::new(Limits { per_address: 1, per_caller: 0 });
        let of = |network: u32, host: u32| {
            let (high, low) = (u16::try_from(network >> 16).unwrap(), u16::try_from(network & 0xFFFF).unwrap());
            Origins::Address(super::network(IpAddr::from([
                0x2001,
                0xdb8,
                high,
                low,
                0,
                0,
                0,
                u16::try_from(host).unwrap(),
            ])))
        };
        attempts.count(of(1, 1));
        assert!(attempts.wait(&of(1, 2)).is_some() && attempts.wait(&of(2, 1)).is_none());
        for network in 0..u32::try_from(MAX_COUNTED).unwrap() + 10 {
            attempts.count(of(network, 1));
        }
        assert!(attempts.addresses.lock().unwrap().len() <= MAX_COUNTED);
    }
}
