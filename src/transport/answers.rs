//! The budget for answer bytes, both of answers being built and of those their clients have not read yet. Each byte is counted from before
//! it is allocated until it has left for the network.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use prost::bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use crate::{
    app::shares::{Share, Use, Used},
    error::{Error, Result},
};

/// Minimum bytes counted per answer: its buffer and its stream.
const LEAST: usize = 8 * 1024;
/// From this size on, an answer is copied into memory of its exact size: the buffer it was encoded into has grown by doubling.
const EXACT: usize = 64 * 1024;
/// Maximum wait for permission to build a large answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// While more than half of the budget is in use, an owner's limit is divided by this.
const UNDER_PRESSURE: usize = 8;
/// Share of the budget, in eighths, that may be reserved for answers being built: rows take several times the bytes of an answer.
const MAKING: usize = 3;

/// The budget for answer bytes. Clones share it.
#[derive(Clone)]
pub struct Answers(Arc<Budget>);

struct Budget {
    max: usize,
    max_of_owner: usize,
    all: AtomicUsize,
    making: AtomicUsize,
    /// Number of waiting calls; `freed` wakes them.
    waiting: AtomicUsize,
    freed: Notify,
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
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
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

    /// Waits for permission to build an answer of about `bytes`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if it is not granted in time.
    pub async fn turn(&self, holder: Holder<'_>, bytes: usize) -> Result<HeldBytes> {
        let budget = &self.0;
        let most = budget.max * MAKING / 8;
        let bytes = bytes.min(most);
        let give_up = Instant::now() + PATIENCE;
        loop {
            // Registered before the check, so that bytes released in between are not missed.
            let freed = budget.freed.notified();
            let waits = Waits::begin(&budget.waiting);
            if budget
                .making
                .fetch_update(SeqCst, SeqCst, |making| (making + bytes <= most).then_some(making + bytes))
                .is_ok()
            {
                match budget.take(holder, bytes) {
                    Some(used) => return Ok(HeldBytes { budget: Arc::clone(budget), used, is_made: false }),
                    None => budget.making.fetch_sub(bytes, SeqCst),
                };
            }
            let in_time = tokio::time::timeout_at(give_up, freed).await;
            drop(waits);
            in_time.map_err(|_| self.refuse())?;
        }
    }

    /// Counts bytes that are about to be received, until the result is dropped.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if too many bytes are held.
    pub fn room(&self, holder: Holder<'_>, bytes: usize) -> Result<HeldBytes> {
        let used = self.0.take(holder, bytes.max(LEAST)).ok_or_else(|| self.refuse())?;
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
        let bytes = data.len().max(LEAST);
        let held = match reserved {
            Some(mut held) if held.used.amount() >= bytes => {
                held.made(bytes);
                held
            }
            reserved => {
                drop(reserved);
                let used = self.0.take(holder, bytes);
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

    fn take(&self, holder: Holder<'_>, bytes: usize) -> Option<Used> {
        self.all.fetch_update(SeqCst, SeqCst, |all| (all + bytes <= self.max).then_some(all + bytes)).ok()?;
        let most = self.most();
        let allows = |used: usize| holder.is_exempt || used == 0 || used + bytes <= most;
        let used = holder.share.take_if(Use::Bytes, bytes, allows);
        if used.is_none() {
            self.all.fetch_sub(bytes, SeqCst);
        }
        used
    }

    /// Counts an answer that can no longer be refused, beyond the limits if necessary.
    fn force(&self, holder: Holder<'_>, bytes: usize) -> Option<Used> {
        self.all.fetch_add(bytes, SeqCst);
        holder.share.take_if(Use::Bytes, bytes, |_| true)
    }

    fn give_back(&self, bytes: usize, making: usize) {
        self.all.fetch_sub(bytes, SeqCst);
        self.making.fetch_sub(making, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }
}

impl HeldBytes {
    /// The answer is finished and has this many bytes.
    fn made(&mut self, bytes: usize) {
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

/// Counts a waiting call until dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use uuid::Uuid;

    use super::*;
    use crate::{app::shares::Shares, models::PrincipalId};

    const MIB: usize = 1024 * 1024;

    fn share(shares: &Shares, owner: u128) -> Arc<Share> {
        shares.of(PrincipalId(Uuid::from_u128(owner)))
    }

    fn answer(answers: &Answers, share: &Arc<Share>, bytes: usize) -> Result<Bytes> {
        answers.hold(Holder { share, is_exempt: false }, None, vec![7; bytes].into(), true)
    }

    #[test]
    fn an_owner_holds_its_part_until_the_last_piece_has_gone_and_leaves_room_for_others() {
        let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
        let (one, other) = (share(&shares, 1), share(&shares, 2));
        let mut held: Vec<Bytes> = (0..2).map(|_| answer(&answers, &one, 4 * MIB).unwrap()).collect();
        assert!(answer(&answers, &one, 1).is_err());
        assert!(answer(&answers, &other, MIB).is_ok());
        // A piece keeps the whole answer counted.
        let mut whole = held.pop().unwrap();
        let piece = whole.split_to(10);
        drop(whole);
        assert!(answer(&answers, &one, 1).is_err());
        drop(piece);
        assert!(answer(&answers, &one, MIB).is_ok());
        drop(held);
        assert_eq!((answers.0.all.load(SeqCst), one.used(Use::Bytes)), (0, 0));
    }

    #[test]
    fn few_owners_never_take_everything() {
        let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
        let mut held = Vec::new();
        for owner in 1..=8 {
            let share = share(&shares, owner);
            while let Ok(data) = answer(&answers, &share, MIB) {
                held.push(data);
            }
        }
        assert!(answers.is_pressed());
        assert!(held.len() <= 40, "{}", held.len());
        assert!(answer(&answers, &share(&shares, 9), 3 * MIB).is_ok(), "an owner that holds nothing gets an answer");
    }

    #[test]
    fn what_is_done_is_told_and_counted_whatever_is_held() {
        let (shares, answers) = (Shares::default(), Answers::new(MIB, MIB));
        let one = share(&shares, 1);
        let holder = Holder { share: &one, is_exempt: false };
        let held = answer(&answers, &one, MIB).unwrap();
        assert!(answers.has_room(holder).is_err());
        assert!(answers.hold(holder, None, vec![7; 100].into(), false).is_ok());
        drop(held);
        assert!(answers.has_room(holder).is_ok());
        assert_eq!(answers.0.all.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_are_made_one_after_the_other_and_nobody_waits_for_ever() {
        let (shares, answers) = (Shares::default(), Answers::new(64 * MIB, 8 * MIB));
        let (one, other) = (share(&shares, 1), share(&shares, 2));
        let holder = Holder { share: &one, is_exempt: false };
        let first = answers.turn(holder, 12 * MIB).await.unwrap();
        assert!(matches!(answers.turn(holder, 12 * MIB).await, Err(Error::Overloaded)));
        let others = answers.turn(Holder { share: &other, is_exempt: false }, 12 * MIB).await.unwrap();
        let (second, data) = tokio::join!(answers.turn(holder, 2 * MIB), async {
            answers.hold(holder, Some(first), vec![7; 3 * MIB].into(), true).unwrap()
        });
        assert_eq!(second.unwrap().used.amount(), 2 * MIB);
        drop((data, others));
        assert_eq!((answers.0.all.load(SeqCst), answers.0.making.load(SeqCst)), (0, 0));
    }
}
