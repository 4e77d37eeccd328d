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
    security::password::{Cost, Hash, Limits, Memory, Peppers, Recipes, Refusal, forms, make, normal, with_recipe},
    telemetry::metrics::seconds,
};

/// The longest that a call waits for its turn.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same for an imported hash: after a move, many users with hashes that take a second each sign in at once, each for the first time.
const PATIENCE_IF_IMPORTED: Duration = Duration::from_secs(5);
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
    /// How other systems computed imported hashes.
    pub recipes: Recipes,
}

/// A password hash of another system, as it is stored.
#[derive(Clone, Debug)]
pub struct ImportedHash {
    /// The hash.
    pub hash: PasswordHash,
    /// The name of its format.
    pub format: &'static str,
    /// The hash if it must not be stored as it is.
    weak: Option<Box<Hash>>,
}

impl ImportedHash {
    /// True if it must be hashed again before it is stored.
    pub fn is_weak(&self) -> bool {
        self.weak.is_some()
    }
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

    /// Reads a hash of another system. With `recipe`, its text is what that recipe of the settings says.
    ///
    /// # Errors
    /// What the text looks like, and the rule that it breaks.
    pub fn read(&self, text: &str, recipe: &str) -> std::result::Result<ImportedHash, Refusal> {
        let text = if recipe.is_empty() { text.to_owned() } else { with_recipe(recipe, text) };
        let (hash, format) = self.parse(&text)?;
        let weak = hash.is_weak().then(|| Box::new(hash));
        Ok(ImportedHash { hash: PasswordHash::new(text), format, weak })
    }

    fn parse(&self, text: &str) -> std::result::Result<(Hash, &'static str), Refusal> {
        let limits = Limits { memory_kib: self.0.settings.memory_kib, cost: self.0.settings.cost };
        Hash::parse(text, limits, &self.0.settings.recipes)
    }

    /// The form of an imported hash that is stored: a weak one is hashed again. Waits for a thread as long as it takes.
    ///
    /// # Errors
    /// [`Error::Internal`] if the thread fails.
    pub async fn storable(&self, imported: ImportedHash) -> Result<PasswordHash> {
        let Some(weak) = imported.weak else { return Ok(imported.hash) };
        let permit = self.threads(self.0.settings.cost.memory_kib).await;
        let permit = permit.ok_or_else(|| Error::internal("the hashing threads have ended"))?;
        let wrapped = permit.run(move |inner, memory| weak.wrap(inner.settings.cost, &inner.settings.peppers, memory));
        wrapped.await?.ok_or_else(|| Error::internal("a password cannot be hashed with these settings"))
    }

    /// True if a password matches an imported hash.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time.
    pub async fn matches(&self, imported: &ImportedHash, password: Plaintext) -> Result<bool> {
        let hash = match &imported.weak {
            Some(weak) => (**weak).clone(),
            None => self.parse(imported.hash.expose()).map_err(|refused| Error::internal(refused.to_string()))?.0,
        };
        let with = VerifiableHash { hash, as_typed: true, is_real: true };
        let permit = self.permit_to_verify(&with, None).await?;
        Ok(matches!(permit.compare(password, with).await?, Comparison::Matches(_)))
    }

    async fn threads(&self, kib: u32) -> Option<HashingPermit> {
        let inner = &self.0;
        let thread = Arc::clone(&inner.threads).acquire_owned().await.ok()?;
        let memory = Arc::clone(&inner.memory).acquire_many_owned(kib.min(inner.settings.memory_kib)).await.ok()?;
        Some(HashingPermit { inner: Arc::clone(inner), _thread: thread, _memory: memory })
    }

    /// The hash to compare a presented password with. If no hash is stored, or it exceeds the limits of this process, a decoy that takes as
    /// long and never matches.
    pub fn comparable(&self, password: Option<&Password>) -> VerifiableHash {
        let hash = password.map(|password| self.parse(password.hash.expose()));
        match (password, hash) {
            (Some(password), Some(Ok((hash, _)))) => {
                VerifiableHash { hash, as_typed: password.is_imported, is_real: true }
            }
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
        let patience = if with.as_typed { PATIENCE_IF_IMPORTED } else { PATIENCE };
        self.turn(with.hash.memory_kib().max(self.0.settings.cost.memory_kib), owner, patience).await
    }

    /// Waits for a turn to create a hash. `owner` as in [`Self::permit_to_verify`].
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time, or if the owner already holds its share of the queue.
    pub async fn permit_to_hash(&self, owner: Option<PrincipalId>) -> Result<HashingPermit> {
        self.turn(self.0.settings.cost.memory_kib, owner, PATIENCE).await
    }

    async fn turn(&self, kib: u32, owner: Option<PrincipalId>, patience: Duration) -> Result<HashingPermit> {
        let inner = &self.0;
        let most = inner.most_queued / SHARE;
        let part = |owner| inner.shares.of(owner).take(Use::Hashing, most).ok_or(Error::Overloaded);
        let _part = owner.map(part).transpose()?;
        let _place = inner.queue.try_acquire().map_err(|_| Error::Overloaded)?;
        let begun = Instant::now();
        let turn = tokio::time::timeout(patience, self.threads(kib)).await.ok().flatten();
        inner.waits.observe(begun.elapsed().as_secs_f64());
        turn.ok_or(Error::Overloaded)
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
            let settings = &inner.settings;
            let normal = normal(presented.expose());
            // Other systems hashed what a keyboard sent, or one of its normal forms.
            let forms = if with.as_typed { forms(presented.expose()) } else { vec![normal.clone()] };
            let matching = forms.iter().find(|form| with.hash.verify(form.as_bytes(), &settings.peppers, memory));
            let (Some(form), true) = (matching, with.is_real) else { return Comparison::Differs };
            let is_current = !with.as_typed && with.hash.is_current(settings.cost, &settings.peppers);
            // A hash of only part of the password also matches a mistyped one; hashing that as a whole would make it the only valid one.
            let stays = is_current || !with.hash.identifies(form.as_bytes());
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
        Hashing::new(
            Settings { cost, memory_kib: 1024, threads: 1, peppers: Peppers::default(), recipes: Recipes::default() },
            Shares::default(),
        )
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
