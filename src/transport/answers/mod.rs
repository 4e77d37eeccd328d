//! The budget for answer bytes, both of answers being built and of those their clients have not read yet. Each byte is counted from before
//! it is allocated until it has left for the network.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use prost::bytes::Bytes;
use tokio::sync::oneshot;

use crate::{
    app::shares::{Share, Use, Used},
    error::{Error, Result},
};

/// Minimum bytes counted per answer: its buffer and its stream.
const MIN_BYTES: usize = 8 * 1024;
/// From this size on, an answer is copied into memory of its exact size: the buffer it was encoded into has grown by doubling.
const EXACT: usize = 64 * 1024;
/// Maximum wait for permission to build a large answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// While more than half of the budget is in use, an owner's limit is divided by this.
const UNDER_PRESSURE: usize = 8;
/// Share of the budget, in eighths, that may be reserved for answers being built: rows take several times the bytes of an answer.
const BUILDING_EIGHTHS: usize = 4;

/// The budget for answer bytes. Clones share it.
#[derive(Clone)]
pub struct Answers(Arc<Budget>);

struct Budget {
    max: usize,
    max_of_owner: usize,
    all: AtomicUsize,
    making: AtomicUsize,
    /// Calls that wait for permission to build, in order, and their number.
    queue: Mutex<VecDeque<Waiter>>,
    waiting: AtomicUsize,
    shown: Gauge,
    refused: Counter,
}

/// Reserved or held bytes, released when dropped.
pub struct HeldBytes {
    budget: Arc<Budget>,
    /// The same bytes in the owner's share.
    used: Used,
    is_made: bool,
}

/// A call that waits for permission to build an answer.
struct Waiter {
    share: Arc<Share>,
    is_exempt: bool,
    bytes: usize,
    permission: oneshot::Sender<HeldBytes>,
}

/// Why an answer cannot be built yet.
#[derive(Debug, PartialEq, Eq)]
enum Full {
    /// Its owner holds its limit.
    Owner,
    /// Too much is being built or held in total.
    All,
}

/// The owner of held bytes.
#[derive(Clone, Copy)]
pub struct Holder<'a> {
    /// The share in which the bytes are counted.
    pub share: &'a Arc<Share>,
    /// True if the owner's limit does not apply.
    pub is_exempt: bool,
}

impl Answers {
    /// Limits the bytes held in total and per owner.
    pub fn new(max: usize, max_of_owner: usize) -> Self {
        Self(Arc::new(Budget {
            max,
            max_of_owner,
            all: AtomicUsize::new(0),
            making: AtomicUsize::new(0),
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            shown: Gauge::default(),
            refused: Counter::default(),
        }))
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Bytes of answers being built or not read by their clients yet";
        registry.register("answer_bytes", help, self.0.shown.clone());
        let help = "Calls refused because too many answer bytes were held";
        registry.register("answers_refused", help, self.0.refused.clone());
    }

    /// Sets the gauge to the bytes currently held.
    pub fn observe(&self) {
        self.0.shown.set(i64::try_from(self.0.all.load(SeqCst)).unwrap_or(i64::MAX));
    }

    /// True while more than half of the budget is in use: answers that are not read are then abandoned sooner.
    pub fn is_pressed(&self) -> bool {
        self.0.all.load(SeqCst) > self.0.max / 2
    }

    /// Refuses a call whose owner already holds its limit.
    ///
    /// # Errors
    /// [`Error::Overloaded`].
    pub fn has_room(&self, holder: Holder<'_>) -> Result<()> {
        let held = holder.share.used(Use::Bytes);
        if holder.is_exempt || held == 0 || held < self.0.most() { Ok(()) } else { Err(self.refuse()) }
    }

    /// Permission to build an answer of about `bytes`, if nothing stands in the way.
    pub fn turn_now(&self, holder: Holder<'_>, bytes: usize) -> Option<HeldBytes> {
        let is_free = self.0.waiting.load(SeqCst) == 0;
        is_free.then(|| self.0.reserve(holder, bytes.min(self.0.most_making())).ok()).flatten()
    }

    /// Waits for permission to build an answer of about `bytes`. Calls get it in order, except that one does not wait behind others whose
    /// owner holds its limit.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if it is not granted in time.
    pub async fn turn(&self, holder: Holder<'_>, bytes: usize) -> Result<HeldBytes> {
        let granted = self.0.enqueue(holder, bytes.min(self.0.most_making()));
        let granted = tokio::time::timeout(PATIENCE, granted).await;
        granted.ok().and_then(std::result::Result::ok).ok_or_else(|| self.refuse())
    }

    /// Counts bytes that are about to be received, until the result is dropped.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many bytes are held.
    pub fn room(&self, holder: Holder<'_>, bytes: usize) -> Result<HeldBytes> {
        let used = self.0.take(holder, bytes.max(MIN_BYTES)).map_err(|_| self.refuse())?;
        Ok(HeldBytes { budget: Arc::clone(&self.0), used, is_made: true })
    }

    /// Counts a finished answer. Its bytes are counted until the last of them is dropped.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the answer may be refused, and the limit of its owner or the whole budget is exceeded.
    pub fn hold(
        &self,
        holder: Holder<'_>,
        reserved: Option<HeldBytes>,
        data: Bytes,
        may_be_refused: bool,
    ) -> Result<Bytes> {
        let bytes = data.len().max(MIN_BYTES);
        let held = match reserved {
            Some(mut held) if held.used.amount() >= bytes => {
                held.finish(bytes);
                held
            }
            reserved => {
                drop(reserved);
                let used = self.0.take(holder, bytes).ok();
                let used = if may_be_refused { used } else { used.or_else(|| self.0.force(holder, bytes)) };
                let used = used.ok_or_else(|| self.refuse())?;
                HeldBytes { budget: Arc::clone(&self.0), used, is_made: true }
            }
        };
        let data = if data.len() >= EXACT { Bytes::copy_from_slice(&data) } else { data };
        Ok(Bytes::from_owner(Counted { data, _held: held }))
    }

    fn refuse(&self) -> Error {
        self.0.refused.inc();
        Error::Overloaded
    }
}

impl Budget {
    /// An owner's current limit. A few owners can never take everything: the more is held in total, the less each may hold.
    fn most(&self) -> usize {
        if self.all.load(SeqCst) > self.max / 2 { self.max_of_owner / UNDER_PRESSURE } else { self.max_of_owner }
    }

    /// Maximum bytes that may be reserved for answers being built.
    fn most_making(&self) -> usize {
        self.max * BUILDING_EIGHTHS / 8
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves bytes for an answer that is about to be built.
    fn reserve(self: &Arc<Self>, holder: Holder<'_>, bytes: usize) -> std::result::Result<HeldBytes, Full> {
        let most = self.most_making();
        let more = |making| (making + bytes <= most).then_some(making + bytes);
        self.making.fetch_update(SeqCst, SeqCst, more).map_err(|_| Full::All)?;
        let used = self.take(holder, bytes).inspect_err(|_| {
            self.making.fetch_sub(bytes, SeqCst);
        })?;
        Ok(HeldBytes { budget: Arc::clone(self), used, is_made: false })
    }

    /// Puts a call into the queue.
    fn enqueue(self: &Arc<Self>, holder: Holder<'_>, bytes: usize) -> oneshot::Receiver<HeldBytes> {
        let (permission, granted) = oneshot::channel();
        let Holder { share, is_exempt } = holder;
        let mut queue = self.queue();
        queue.push_back(Waiter { share: Arc::clone(share), is_exempt, bytes, permission });
        self.waiting.store(queue.len(), SeqCst);
        drop(queue);
        // Bytes may have been released before the call was in the queue.
        self.serve();
        granted
    }

    /// Gives permission to the calls in the queue for which there is room, and wakes no others.
    fn serve(self: &Arc<Self>) {
        let (mut granted, mut at) = (Vec::new(), 0);
        let mut queue = self.queue();
        while let Some(waiter) = queue.get(at) {
            let holder = Holder { share: &waiter.share, is_exempt: waiter.is_exempt };
            let reserved = if waiter.permission.is_closed() { None } else { Some(self.reserve(holder, waiter.bytes)) };
            match reserved {
                Some(Err(Full::All)) => break,
                Some(Err(Full::Owner)) => at += 1,
                None => drop(queue.remove(at)),
                Some(Ok(held)) => granted.extend(queue.remove(at).map(|waiter| (waiter.permission, held))),
            }
        }
        self.waiting.store(queue.len(), SeqCst);
        drop(queue);
        for (permission, held) in granted {
            // If the call has ended meanwhile, its bytes are released and others are served.
            drop(permission.send(held));
        }
    }

    fn take(&self, holder: Holder<'_>, bytes: usize) -> std::result::Result<Used, Full> {
        let more = |all| (all + bytes <= self.max).then_some(all + bytes);
        self.all.fetch_update(SeqCst, SeqCst, more).map_err(|_| Full::All)?;
        let most = self.most();
        let allows = |used: usize| holder.is_exempt || used == 0 || used + bytes <= most;
        holder.share.take_if(Use::Bytes, bytes, allows).ok_or_else(|| {
            self.all.fetch_sub(bytes, SeqCst);
            Full::Owner
        })
    }

    /// Counts an answer that can no longer be refused, beyond the limits if necessary.
    fn force(&self, holder: Holder<'_>, bytes: usize) -> Option<Used> {
        self.all.fetch_add(bytes, SeqCst);
        holder.share.take_if(Use::Bytes, bytes, |_| true)
    }

    fn give_back(self: &Arc<Self>, bytes: usize, making: usize) {
        self.all.fetch_sub(bytes, SeqCst);
        if making > 0 {
            self.making.fetch_sub(making, SeqCst);
        }
        if self.waiting.load(SeqCst) > 0 {
            self.serve();
        }
    }
}

impl HeldBytes {
    /// The answer is finished and has this many bytes.
    fn finish(&mut self, bytes: usize) {
        let reserved = self.used.amount();
        self.used.shrink(bytes);
        self.is_made = true;
        self.budget.give_back(reserved - bytes, reserved);
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        let bytes = self.used.amount();
        self.used.shrink(0);
        self.budget.give_back(bytes, if self.is_made { 0 } else { bytes });
    }
}

/// Bytes with the guard that counts them.
struct Counted {
    data: Bytes,
    _held: HeldBytes,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests;
