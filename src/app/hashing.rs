//! A bounded queue for password hashing, on threads other than those that answer calls. Memory and core settings bound how many hashes
//! run at once. A caller that finds the queue full, or waits in it too long, is refused and may retry; other calls never wait for a
//! hash.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    app::shares::{Shares, Use},
    error::{Error, Result},
    models::{Password, PasswordHash, Plaintext, PrincipalId},
    security::password::{Cost, Hash, Limits, Memory, Peppers, make, normal},
    telemetry::metrics::seconds,
};

/// The longest that a call waits for its turn.
const PATIENCE: Duration = Duration::from_millis(500);
/// Queue length per thread: calls further back would not get a turn in time.
const QUEUE: usize = 16;
/// The fraction of the queue that one owner of credentials may hold, unless it is a platform admin: a quarter.
const SHARE: usize = 4;

/// Cost and concurrency of hashes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cost of a new hash.
    pub cost: Cost,
    /// Total memory of all concurrent hashes, in KiB.
    pub memory_kib: u32,
    /// Maximum number of concurrent hashes.
    pub threads: usize,
    /// Secrets mixed into hashes and stored in no database.
    pub peppers: Peppers,
}

/// The hashing queue.
#[derive(Clone)]
pub struct Hashing(Arc<Shared>);

struct Shared {
    settings: Settings,
    threads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    queue: Semaphore,
    most_queued: usize,
    /// How many places in the queue each owner holds.
    shares: Shares,
    /// Working memory of finished hashes, for reuse: touching fresh memory takes as long as hashing.
    spare: Mutex<Vec<Memory>>,
    /// The number of calls waiting for a turn, as a metric.
    queued: Gauge,
    /// How long calls waited for their turn.
    waits: Histogram,
    /// Comparison with the presented password if the user has none.
    decoy: Hash,
}

/// A turn to hash. It lasts until the hash is complete, even if the call is cancelled.
pub struct HashingPermit {
    inner: Arc<Shared>,
    _thread: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// A stored password, parsed and within the limits.
pub struct VerifiableHash {
    hash: Hash,
    /// Whether the hash is of the password as typed, not of its normal form.
    as_typed: bool,
    /// Whether a stored password exists.
    is_real: bool,
}

impl Hashing {
    /// Creates the queue. Its places are counted in `shares`.
    pub fn new(settings: Settings, shares: Shares) -> Self {
        let at_once = (settings.memory_kib / settings.cost.memory_kib.max(1)).max(1);
        let threads = settings.threads.clamp(1, usize::try_from(at_once).unwrap_or(1));
        Self(Arc::new(Shared {
            threads: Arc::new(Semaphore::new(threads)),
            memory: Arc::new(Semaphore::new(usize::try_from(settings.memory_kib).unwrap_or(usize::MAX))),
            queue: Semaphore::new(threads * QUEUE),
            most_queued: threads * QUEUE,
            shares,
            spare: Mutex::default(),
            decoy: Hash::decoy(settings.cost),
            queued: Gauge::default(),
            waits: seconds(),
            settings,
        }))
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("hash_queue", "Calls that wait for their turn to hash a password", self.0.queued.clone());
        registry.register("hash_wait_seconds", "Waiting time for a turn to hash a password", self.0.waits.clone());
    }

    /// Updates the gauge of waiting calls.
    pub fn observe(&self) {
        let waiting = (self.0.most_queued).saturating_sub(self.0.queue.available_permits());
        self.0.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// The limits that an imported hash must respect.
    pub fn limits(&self) -> Limits {
        Limits { memory_kib: self.0.settings.memory_kib, cost: self.0.settings.cost }
    }

    /// The hash to compare a presented password with. If no hash is stored, or it exceeds the limits of this process, a decoy that takes as
    /// long and never matches.
    pub fn comparable(&self, password: Option<&Password>) -> VerifiableHash {
        let hash = password.map(|password| Hash::parse(password.hash.expose(), self.limits()));
        match (password, hash) {
            (Some(password), Some(Ok(hash))) => VerifiableHash { hash, as_typed: password.is_imported, is_real: true },
            (stored, _) => {
                if let Some(stored) = stored {
                    tracing::error!(user_id = %stored.user_id, "a stored password hash is malformed or exceeds the limits");
                }
                VerifiableHash { hash: self.0.decoy.clone(), as_typed: false, is_real: false }
            }
        }
    }

    /// Waits for a turn to compare. `owner` is charged for the place in the queue; `None` for a platform admin.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time, or if the owner already holds its share of the queue.
    pub async fn permit_to_verify(&self, with: &VerifiableHash, owner: Option<PrincipalId>) -> Result<HashingPermit> {
        // At least the memory of a new hash: a matching imported password is hashed again.
        self.turn(with.hash.memory_kib().max(self.0.settings.cost.memory_kib), owner).await
    }

    /// Waits for a turn to create a hash. `owner` as in [`Self::permit_to_verify`].
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time, or if the owner already holds its share of the queue.
    pub async fn permit_to_hash(&self, owner: Option<PrincipalId>) -> Result<HashingPermit> {
        self.turn(self.0.settings.cost.memory_kib, owner).await
    }

    async fn turn(&self, kib: u32, owner: Option<PrincipalId>) -> Result<HashingPermit> {
        let inner = &self.0;
        let most = inner.most_queued / SHARE;
        let part = |owner| inner.shares.of(owner).take(Use::Hashing, most).ok_or(Error::Overloaded);
        let _part = owner.map(part).transpose()?;
        let _place = inner.queue.try_acquire().map_err(|_| Error::Overloaded)?;
        let both = async {
            let thread = Arc::clone(&inner.threads).acquire_owned().await;
            let memory = Arc::clone(&inner.memory).acquire_many_owned(kib.min(inner.settings.memory_kib)).await;
            Some((thread.ok()?, memory.ok()?))
        };
        let begun = Instant::now();
        let turn = tokio::time::timeout(PATIENCE, both).await.ok().flatten();
        inner.waits.observe(begun.elapsed().as_secs_f64());
        let (thread, memory) = turn.ok_or(Error::Overloaded)?;
        Ok(HashingPermit { inner: Arc::clone(inner), _thread: thread, _memory: memory })
    }
}

impl HashingPermit {
    /// Compares a presented password. If it matches a hash that is not current, it is hashed again, unless several passwords match that
    /// hash.
    ///
    /// # Errors
    /// [`Error::Internal`] if the thread fails.
    pub async fn compare(self, presented: Plaintext, with: VerifiableHash) -> Result<Comparison> {
        self.run(move |inner, memory| {
            let (typed, normal) = (presented.expose(), normal(presented.expose()));
            let settings = &inner.settings;
            let bytes = if with.as_typed { typed.as_bytes() } else { normal.as_bytes() };
            let matches = with.hash.verify(bytes, &settings.peppers, memory) && with.is_real;
            let is_current = !with.as_typed && with.hash.is_current(settings.cost, &settings.peppers);
            if !matches {
                return Comparison::Differs;
            }
            // A hash of only part of the password also matches a mistyped one; hashing that as a whole would make it the only valid one.
            let stays = is_current || !with.hash.identifies(bytes);
            let rehashed = (!stays).then(|| make(normal.as_bytes(), settings.cost, &settings.peppers, memory));
            Comparison::Matches(rehashed.flatten())
        })
        .await
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Internal`] if the thread fails.
    pub async fn make(self, password: Plaintext) -> Result<PasswordHash> {
        let hashed = self.run(move |inner, memory| {
            let settings = &inner.settings;
            make(normal(password.expose()).as_bytes(), settings.cost, &settings.peppers, memory)
        });
        hashed.await?.ok_or_else(|| Error::internal("a password cannot be hashed with these settings"))
    }

    /// Runs slow work on a blocking thread.
    async fn run<T: Send + 'static>(self, work: impl FnOnce(&Shared, &mut Memory) -> T + Send + 'static) -> Result<T> {
        let done = tokio::task::spawn_blocking(move || {
            let mut memory = self.inner.spare().pop().unwrap_or_default();
            let done = work(&self.inner, &mut memory);
            if memory.kib() <= self.inner.settings.cost.memory_kib {
                self.inner.spare().push(memory);
            }
            done
        });
        done.await.map_err(|error| Error::Internal(Box::new(error)))
    }
}

impl Shared {
    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a comparison.
pub enum Comparison {
    /// Another password, or the user has none.
    Differs,
    /// The right password; with a new hash of it if the stored one is not current.
    Matches(Option<PasswordHash>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::{future::Future, pin::Pin, task::Poll};

    use uuid::Uuid;

    use super::*;

    fn hashing() -> Hashing {
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        Hashing::new(Settings { cost, memory_kib: 1024, threads: 1, peppers: Peppers::default() }, Shares::default())
    }

    type Waiting<'a> = Pin<Box<dyn Future<Output = Result<HashingPermit>> + 'a>>;

    /// Asks for a turn, and returns it if it has to wait, or the refusal.
    async fn ask(hashing: &Hashing, owner: Option<u128>) -> Result<Waiting<'_>> {
        let owner = owner.map(|id| PrincipalId(Uuid::from_u128(id)));
        let mut turn: Waiting<'_> = Box::pin(hashing.permit_to_hash(owner));
        match std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await {
            Poll::Pending => Ok(turn),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) => panic!("no turn should be free"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_owner_holds_at_most_a_quarter_of_the_queue_and_platform_admins_any_part() {
        let hashing = hashing();
        let running = hashing.permit_to_hash(None).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(ask(&hashing, Some(1)).await.unwrap());
        }
        assert!(matches!(ask(&hashing, Some(1)).await, Err(Error::Overloaded)));
        // Other owners still have room.
        waiting.push(ask(&hashing, Some(2)).await.unwrap());
        for _ in 0..11 {
            waiting.push(ask(&hashing, None).await.unwrap());
        }
        assert!(matches!(ask(&hashing, None).await, Err(Error::Overloaded)));
        // A place is free again once it is given up or its turn has come.
        drop(waiting.remove(0));
        let again = ask(&hashing, Some(1)).await.unwrap();
        assert!(matches!(ask(&hashing, Some(1)).await, Err(Error::Overloaded)));
        drop((running, waiting));
        again.await.unwrap();
        assert!(hashing.0.shares.is_empty());
    }
}
