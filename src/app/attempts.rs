//! Limits on wrong passwords beyond those of a single account: per address, or per caller that reports no address. They bound an
//! attacker who tries many accounts. The events of wrong passwords are written here too: many of a kind as one, and outside the call,
//! so that an answer takes no longer if the account exists.

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
    models::{
        Action, Caller, Change, CredentialId, Origin, PrincipalId, Reach, State, User, UserId, event::Refusal,
        ip_range::network,
    },
};

/// Maximum number of tracked callers or addresses, and of pending events. Beyond it the least exhausted origins, or further events, are
/// dropped.
const MAX_COUNTED: usize = 50_000;
/// Maximum number of stand-in users, chosen larger than any cache, and how long they are used before they are read again.
const STAND_INS: (i64, Duration) = (4096, Duration::from_mins(10));

/// Limits on wrong attempts; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From one address in a minute.
    pub per_address: u32,
    /// In a minute from one caller that reports no address.
    pub per_caller: u32,
}

/// The origin that wrong attempts are counted for, in addition to the account.
#[derive(Clone, Copy, Debug)]
pub enum Origins {
    /// An address reported by an application, which knows where its users are. The application is not counted as well: one address that
    /// tries many passwords must not use up the limit of all its users.
    Address(IpAddr),
    /// The owner who is accountable for the calling credential.
    Caller(PrincipalId),
}

impl Origins {
    /// The origin of a call that may report an address. Only platform admins may report one: any other caller could name an address to
    /// have it refused.
    pub fn of(caller: &Caller, reported: Option<IpAddr>) -> Self {
        match reported {
            Some(address) if caller.is_platform_admin() => Self::Address(network(address)),
            _ => Self::Caller(caller.accountable),
        }
    }
}

/// Wrong attempts seen by this process.
pub struct Attempts {
    limits: Limits,
    addresses: Mutex<HashMap<IpAddr, Instant>>,
    callers: Mutex<HashMap<PrincipalId, Instant>>,
    failed: Mutex<HashMap<(Option<UserId>, CredentialId), Failed>>,
    failures: Family<[(&'static str, &'static str); 1], Counter>,
    stand_ins: Mutex<(Option<Instant>, Arc<[UserId]>)>,
}

/// Wrong passwords for a user whose event is not written yet.
struct Failed {
    user: Option<User>,
    origin: Origin,
    reason: &'static str,
    count: u32,
}

impl Attempts {
    /// Starts with no wrong attempts.
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

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Rejected credentials, by their class";
        registry.register("authentication_failures", help, self.failures.clone());
    }

    /// Counts a rejected credential of a class.
    pub fn failed(&self, class: &'static str) {
        self.failures.get_or_create(&[("class", class)]).inc();
    }

    /// How long until the next attempt is accepted, if there were too many wrong ones.
    pub fn wait(&self, origin: &Origins) -> Option<Duration> {
        match origin {
            Origins::Address(address) => wait(&self.addresses, address, self.limits.per_address),
            Origins::Caller(caller) => wait(&self.callers, caller, self.limits.per_caller),
        }
    }

    /// Counts a wrong attempt.
    pub fn count(&self, origin: Origins) {
        match origin {
            Origins::Address(address) => count(&self.addresses, address, self.limits.per_address),
            Origins::Caller(caller) => count(&self.callers, caller, self.limits.per_caller),
        }
    }

    /// Notes a wrong password for an event. One for an unknown user is noted too, to take as long, but writes no event.
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

    /// Users with a password, one of whom is read in place of an unknown user. There are enough of them that each is seldom read.
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

/// Time until the bucket has room. A bucket drains evenly and holds what drains in a minute, so it is stored as the moment when it
/// will be empty.
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
            // The most exhausted ones stay.
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
        if let Err(error) = write_one(&app, noted).await {
            written = Err(error);
        }
    }
    written
}

async fn write_one(app: &App, noted: Failed) -> Result<()> {
    let Some(user) = noted.user else { return Ok(()) };
    // Nothing is recorded about someone who was purged since.
    if app.users.get(Reach::by_system(), user.id).await?.is_none() {
        return Ok(());
    }
    let mut change = Change::nothing(Action::UserSignInFailed, State::from(user).subject());
    change.refusal = Some(Refusal { reason: noted.reason.to_owned(), count: noted.count });
    app.note(&noted.origin, change).await
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
        assert_eq!(attempts.wait(&Origins::Caller(PrincipalId(Uuid::nil()))), None);
        tokio::time::advance(wait).await;
        assert_eq!(attempts.wait(&address(1)), None);
        attempts.count(address(1));
        assert!(attempts.wait(&address(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_from_many_addresses_of_one_network_are_bounded_and_so_is_memory() {
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
