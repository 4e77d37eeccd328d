//! The calls of a connection: when each begins, where it runs, and when it is given up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};

use super::outgoing::Taking;
use crate::transport::answers::Answers;

/// How long a client may take nothing of an answer while more than half of the bytes are held that there may be of answers.
const SOON: Duration = Duration::from_secs(2);

/// The calls of a connection that have come and not begun.
#[derive(Clone)]
pub(super) struct Calls {
    waiting: Arc<Mutex<Vec<Call>>>,
    /// How many have come and not ended.
    live: Arc<AtomicUsize>,
    patience: Duration,
    answers: Answers,
}

/// A call on its way. It ends when its answer has been handed to the connection as a whole, when it fails, or when its client takes
/// nothing of an answer that is there; then its stream is reset.
struct Call {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    taking: Taking,
    patience: Duration,
    answers: Answers,
    stuck: Option<Stuck>,
    _live: Live,
}

/// An answer of which nothing is taken.
struct Stuck {
    since: Instant,
    look: Pin<Box<Sleep>>,
}

/// One of the calls that have not ended.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn begin(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(live))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, future: F) {
        let (future, live) = (Box::pin(future), Live::begin(&self.live));
        let (patience, answers) = (self.patience, self.answers.clone());
        self.waiting().push(Call { future, taking: Taking::default(), patience, answers, stuck: None, _live: live });
    }
}

impl Calls {
    /// Gives an answer up of which its client takes nothing for so long, and sooner while many bytes of answers are held.
    pub(super) fn new(patience: Duration, answers: Answers) -> Self {
        Self { waiting: Arc::default(), live: Arc::default(), patience, answers }
    }

    /// How many have come and not ended.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins them, in the order of coming. Those that are not done at once go on in tasks of their own.
    pub(super) fn begin(&self) {
        let calls = std::mem::take(&mut *self.waiting());
        for mut call in calls {
            // Whoever goes on with it polls it again and is woken; until then nobody needs to be. A fault in one call must not
            // take the others of its connection with it; that it ended is told by the reset of its stream.
            let begun = catch_unwind(AssertUnwindSafe(|| call.poll_future(&mut Context::from_waker(Waker::noop()))));
            if let Ok(Poll::Pending) = begun {
                tokio::spawn(call);
            }
        }
    }
}

impl Call {
    fn poll_future(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let future = self.future.as_mut();
        self.taking.during(|| future.poll(cx))
    }
}

impl Future for Call {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.taking.given();
        if self.poll_future(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.taking.is_offered() {
            self.stuck = None;
            return Poll::Pending;
        }
        if self.taking.given() != before {
            self.stuck = None;
        }
        let soon = self.patience.min(SOON);
        let patience = if self.answers.is_pressed() { soon } else { self.patience };
        let stuck = self.stuck.get_or_insert_with(|| Stuck { since: Instant::now(), look: Box::pin(sleep(soon)) });
        while stuck.since.elapsed() < patience {
            ready!(stuck.look.as_mut().poll(cx));
            let left = patience.saturating_sub(stuck.since.elapsed());
            stuck.look = Box::pin(sleep(left.min(soon)));
        }
        tracing::debug!("a client takes nothing of an answer");
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_fault_in_one_call_and_a_call_that_waits_take_no_other_with_them() {
        let calls = Calls::new(Duration::from_mins(1), Answers::new(1, 1));
        let (release, released) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let (waited, has_waited) = oneshot::channel();
        calls.execute(async { assert!(std::hint::black_box(false), "a fault in a call") });
        calls.execute(async {
            released.await.ok();
            waited.send(()).ok();
        });
        calls.execute(async {
            done.send(()).ok();
        });
        assert_eq!(calls.live(), 3);
        calls.begin();
        assert_eq!(is_done.await, Ok(()), "it needs nothing, so it ends as it begins");
        assert!(calls.waiting().is_empty());
        assert_eq!(calls.live(), 1);
        release.send(()).ok();
        assert_eq!(has_waited.await, Ok(()));
    }
}
