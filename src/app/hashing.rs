//! Hashing passwords, as a resource of its own: beside the threads that answer calls, as many at once as its settings for memory and
//! cores allow, and a short queue before. Whoever finds the queue full, or waits too long in it, is told at once to come again, and
//! no other call waits behind a hash.

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
/// How many calls wait for a turn, for each that has one: more could not all have one in time.
const QUEUE: usize = 16;
/// The part of the queue that one owner of credentials may hold, unless it is a platform admin: a quarter.
const SHARE: usize = 4;

/// How hashes are made, and how many at once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a new hash costs.
    pub cost: Cost,
    /// Memory of all hashes at once, in KiB.
    pub memory_kib: u32,
    /// Most hashes at once.
    pub threads: usize,
    /// What goes into hashes and is in no database.
    pub peppers: Peppers,
}

/// The resource.
#[derive(Clone)]
pub struct Hashing(Arc<Inner>);

struct Inner {
    settings: Settings,
    threads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    queue: Semaphore,
    most_queued: usize,
    /// How many places of the queue each owner holds.
    shares: Shares,
    /// What hashes have worked in: to touch fresh memory takes as long as to hash.
    spare: Mutex<Vec<Memory>>,
    /// How many calls wait for a turn, as it is shown.
    queued: Gauge,
    /// How long calls waited for their turn.
    waits: Histogram,
    /// What a password is compared with where there is none.
    decoy: Hash,
}

/// A turn to hash. It lasts as long as a hash that was begun, also if the call is gone.
pub struct Turn {
    inner: Arc<Inner>,
    _thread: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
}

/// A stored password that can be compared: taken apart, and within the limits.
pub struct Comparable {
    hash: Hash,
    /// Whether the hash is of the password as it was typed.
    as_typed: bool,
    /// Whether there is one.
    is_real: bool,
}

impl Hashing {
    /// Hashes by settings. Places of the queue are counted in `shares`.
    pub fn new(settings: Settings, shares: Shares) -> Self {
        let at_once = (settings.memory_kib / settings.cost.memory_kib.max(1)).max(1);
        let threads = settings.threads.clamp(1, usize::try_from(at_once).unwrap_or(1));
        Self(Arc::new(Inner {
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

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("hash_queue", "Calls that wait for their turn to hash a password", self.0.queued.clone());
        registry.register("hash_wait_seconds", "Time that calls waited for that", self.0.waits.clone());
    }

    /// Shows how many wait at this moment.
    pub fn observe(&self) {
        let waiting = (self.0.most_queued).saturating_sub(self.0.queue.available_permits());
        self.0.queued.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// What a hash may ask for that is brought over.
    pub fn limits(&self) -> Limits {
        Limits { memory_kib: self.0.settings.memory_kib }
    }

    /// What a presented password is to be compared with: a stored one, or, where there is none or it takes more than this process
    /// gives, something that it does not match and that takes as long.
    pub fn comparable(&self, password: Option<&Password>) -> Comparable {
        let hash = password.map(|password| Hash::parse(password.hash.expose(), self.limits()));
        match (password, hash) {
            (Some(password), Some(Ok(hash))) => Comparable { hash, as_typed: password.is_imported, is_real: true },
            (stored, _) => {
                if let Some(stored) = stored {
                    tracing::error!(user_id = %stored.user_id, "the hash of a password is none, or takes more than is given");
                }
                Comparable { hash: self.0.decoy.clone(), as_typed: false, is_real: false }
            }
        }
    }

    /// Waits for a turn to compare with something. `owner` is whom the place in the queue counts for; `None` for a platform admin.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time, or if the owner holds its part of the queue already.
    pub async fn turn_to_compare(&self, with: &Comparable, owner: Option<PrincipalId>) -> Result<Turn> {
        // Also as much as a new hash takes: a password that was brought over is hashed anew.
        self.turn(with.hash.memory_kib().max(self.0.settings.cost.memory_kib), owner).await
    }

    /// Waits for a turn to make a hash. `owner` as in [`Self::turn_to_compare`].
    ///
    /// # Errors
    /// [`Error::Overloaded`] if no thread is free in time, or if the owner holds its part of the queue already.
    pub async fn turn_to_make(&self, owner: Option<PrincipalId>) -> Result<Turn> {
        self.turn(self.0.settings.cost.memory_kib, owner).await
    }

    async fn turn(&self, kib: u32, owner: Option<PrincipalId>) -> Result<Turn> {
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
        Ok(Turn { inner: Arc::clone(inner), _thread: thread, _memory: memory })
    }
}

impl Turn {
    /// Compares a presented password. Where it matches a hash that would be made otherwise now, it is hashed anew, unless the hash
    /// does not tell the password from others.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn compare(self, presented: Plaintext, with: Comparable) -> Result<Compared> {
        self.run(move |inner, memory| {
            let (typed, normal) = (presented.expose(), normal(presented.expose()));
            let settings = &inner.settings;
            let bytes = if with.as_typed { typed.as_bytes() } else { normal.as_bytes() };
            let matches = with.hash.verify(bytes, &settings.peppers, memory) && with.is_real;
            let is_current = !with.as_typed && with.hash.is_current(settings.cost, &settings.peppers);
            if !matches {
                return Compared::Differs;
            }
            // What matches a hash that looks at a part of it may be a mistyped password: hashed as a whole, it would become the only one.
            let stays = is_current || !with.hash.identifies(bytes);
            let anew = (!stays).then(|| make(normal.as_bytes(), settings.cost, &settings.peppers, memory));
            Compared::Matches(anew.flatten())
        })
        .await
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// A fault of ours.
    pub async fn make(self, password: Plaintext) -> Result<PasswordHash> {
        let made = self.run(move |inner, memory| {
            let settings = &inner.settings;
            make(normal(password.expose()).as_bytes(), settings.cost, &settings.peppers, memory)
        });
        made.await?.ok_or_else(|| Error::internal("a password cannot be hashed with these settings"))
    }

    /// Runs something that takes long on a thread where nobody waits for it.
    async fn run<T: Send + 'static>(self, work: impl FnOnce(&Inner, &mut Memory) -> T + Send + 'static) -> Result<T> {
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

impl Inner {
    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a comparison found.
pub enum Compared {
    /// It is another password, or there is none.
    Differs,
    /// It is the password; with a new hash of it, if the stored one is not what would be made now.
    Matches(Option<PasswordHash>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

    use std::{future::Future, pin::Pin, task::Poll};

    use uuid::Uuid;

    use super::*;

    fn hashing() -> Hashing {
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        Hashing::new(Settings { cost, memory_kib: 1024, threads: 1, peppers: Peppers::default() }, Shares::default())
    }

    type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Turn>> + 'a>>;

    /// Asks for a turn, and tells what is answered at once: a refusal, or that it waits.
    async fn ask(hashing: &Hashing, owner: Option<u128>) -> Result<Waiting<'_>> {
        let owner = owner.map(|id| PrincipalId(Uuid::from_u128(id)));
        let mut turn: Waiting<'_> = Box::pin(hashing.turn_to_make(owner));
        match std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context))).await {
            Poll::Pending => Ok(turn),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(_)) => panic!("there is no turn to be had"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_owner_holds_at_most_a_quarter_of_the_queue_and_platform_admins_any_part() {
        let hashing = hashing();
        let running = hashing.turn_to_make(None).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(ask(&hashing, Some(1)).await.unwrap());
        }
        assert!(matches!(ask(&hashing, Some(1)).await, Err(Error::Overloaded)));
        // There is room for everybody else.
        waiting.push(ask(&hashing, Some(2)).await.unwrap());
        for _ in 0..11 {
            waiting.push(ask(&hashing, None).await.unwrap());
        }
        assert!(matches!(ask(&hashing, None).await, Err(Error::Overloaded)));
        // A place that is given up, or whose turn has come, is free again.
        drop(waiting.remove(0));
        let again = ask(&hashing, Some(1)).await.unwrap();
        assert!(matches!(ask(&hashing, Some(1)).await, Err(Error::Overloaded)));
        drop((running, waiting));
        again.await.unwrap();
        assert!(hashing.0.shares.is_empty());
    }
}
