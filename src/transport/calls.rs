//! The calls of a connection: when each starts, where it runs, and when it is abandoned.

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

/// Maximum time a client may leave an available answer unread while more than half of the answer budget is in use.
const SOON: Duration = Duration::from_secs(2);

/// Received calls of a connection that have not been started.
#[derive(Clone)]
pub(super) struct Calls {
    waiting: Arc<Mutex<Vec<Call>>>,
    /// Number of calls received and not finished.
    live: Arc<AtomicUsize>,
    patience: Duration,
    answers: Answers,
}

/// A call in progress. It finishes when its whole answer has been handed to the connection, when it fails, or when its client does not read
/// an available answer; then its stream is reset.
struct Call {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    taking: Taking,
    patience: Duration,
    answers: Answers,
    stuck: Option<Stuck>,
    _live: Live,
}

/// An answer that its client does not read.
struct Stuck {
    since: Instant,
    look: Pin<Box<Sleep>>,
}

/// Counts a call as unfinished until dropped.
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
    /// `patience` is how long a client may leave an answer unread before the call is abandoned. It is shorter while many answer bytes are
    /// held.
    pub(super) fn new(patience: Duration, answers: Answers) -> Self {
        Self { waiting: Arc::default(), live: Arc::default(), patience, answers }
    }

    /// Number of calls received and not finished.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the received calls in order. Those that do not finish immediately continue in tasks of their own.
    pub(super) fn begin(&self) {
        let calls = std::mem::take(&mut *self.waiting());
        for mut call in calls {
            // No waker is needed: the task that continues the call polls it again and is then woken. A panic in one call must not affect
            // the other calls of its connection; its client sees a stream reset.
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
        tracing::debug!("abandoned an answer that its client does not read");
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
        calls.execute(async { assert!(std::hint::black_box(false), "a panic in a call") });
        calls.execute(async {
            released.await.ok();
            waited.send(()).ok();
        });
        calls.execute(async {
            done.send(()).ok();
        });
        assert_eq!(calls.live(), 3);
        calls.begin();
        assert_eq!(is_done.await, Ok(()), "a call that needs no wait finishes at its first poll");
        assert!(calls.waiting().is_empty());
        assert_eq!(calls.live(), 1);
        release.send(()).ok();
        assert_eq!(has_waited.await, Ok(()));
    }
}
