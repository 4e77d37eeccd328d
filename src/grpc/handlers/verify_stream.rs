//! `ApiKeyService.VerifyStream`: questions and answers on one stream, and withdrawals of answers that no longer hold.
//!
//! Questions about cached keys are answered in place, without a task or a queue in between. That makes a stream faster than calls.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_stream::{Stream, wrappers::BroadcastStream};
use tonic::{Status, Streaming};

use super::stream::broken;
use crate::{
    app::{
        App,
        credentials::{CachedKey, Invalidation},
        reported_keys::{self, ReportedKeys, Withdrawn},
        shutdown::Shutdown,
        streams::{Slot, StreamKind},
        verification::{self, Verification, Verifier, wall_time},
    },
    error::{Error, Result},
    grpc::convert,
    models::{ApiKeyId, Caller, Scope},
    pb::{self, verify_stream_answer::Outcome, verify_stream_response::Kind as Message, verify_stream_withdrawal},
};

/// How often a stream confirms that the verdicts it sent still hold.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Maximum number of questions of a stream that wait for the database. At the limit, no further ones are read.
const MAX_WAITING: usize = 64;

/// The responses of a stream.
pub struct VerifyStream {
    app: App,
    caller: Caller,
    scope: Scope,
    verifier: Verifier,
    questions: Streaming<pb::VerifyStreamRequest>,
    has_more_questions: bool,
    /// Questions that wait for the database.
    waiting: JoinSet<(u64, Result<Verification>)>,
    /// Messages to send before any answer.
    ready: VecDeque<Message>,
    reported: ReportedKeys,
    forgotten: BroadcastStream<Invalidation>,
    heartbeat: Interval,
    /// Running checks of the caller's own rights.
    checks: JoinSet<Result<()>>,
    /// Counts how often the client polled for a message.
    taken: Arc<AtomicU64>,
    end: Option<oneshot::Receiver<Status>>,
}

impl VerifyStream {
    /// Opens a stream.
    ///
    /// # Errors
    /// [`Error::StreamLimitReached`].
    pub(super) fn new(
        app: &App,
        caller: Caller,
        scope: Scope,
        questions: Streaming<pb::VerifyStreamRequest>,
    ) -> Result<Self> {
        let slot = app.streams.open(&caller, StreamKind::Verify)?;
        let (end, ended) = oneshot::channel();
        let taken = Arc::default();
        tokio::spawn(watch(app.shutdown.clone(), slot, app.policy.stream_timeout, Arc::clone(&taken), end));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            verifier: Verifier::new(app.clone(), caller.clone()),
            app: app.clone(),
            caller,
            scope,
            questions,
            has_more_questions: true,
            waiting: JoinSet::new(),
            ready: VecDeque::new(),
            reported: ReportedKeys::default(),
            forgotten: BroadcastStream::new(app.credentials.forgotten()),
            heartbeat,
            checks: JoinSet::new(),
            taken,
            end: Some(ended),
        })
    }

    /// Withdraws the verdicts that no longer hold, and checks the caller again if it is concerned itself.
    fn withdraw(&mut self, forgotten: Invalidation) {
        match self.reported.withdraw(forgotten, &self.caller) {
            Withdrawn::Keys(ids) => self.ready.extend(ids.into_iter().map(|id| Message::Withdrawal(one(id)))),
            Withdrawn::All => self.ready.push_back(Message::Withdrawal(all())),
        }
        if reported_keys::concerns_caller(forgotten, &self.caller) {
            // A running check may have read outdated state.
            self.checks.abort_all();
            self.check_caller();
        }
    }

    /// Starts a check of the caller's own rights.
    fn check_caller(&mut self) {
        let (app, caller, scope) = (self.app.clone(), self.caller.clone(), self.scope.clone());
        self.checks.spawn(async move { verification::may_still_verify(&app, &caller, &scope).await });
    }

    /// Builds the answer to a question.
    fn answer(&mut self, question_id: u64, answer: Result<Verification>) -> Message {
        let outcome = match answer {
            Ok(verification) => {
                let message = convert::api_key::verification(&verification, self.app.now());
                if let Some((_, known)) = &verification.found {
                    self.remember(known, verification.is_kept);
                }
                Outcome::Verification(message)
            }
            Err(Error::Invalid(_)) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
            Err(error) => {
                // The conversion to a status logs it.
                drop(Status::from(error));
                Outcome::Error(pb::ErrorReason::Unavailable.into())
            }
        };
        Message::Answer(pb::VerifyStreamAnswer { question_id, outcome: Some(outcome) })
    }

    /// Tracks a key whose verdict the client may cache, or withdraws the verdict.
    fn remember(&mut self, known: &CachedKey, is_kept: bool) {
        let id = known.credential.key.id;
        if let Some(oldest) = self.reported.insert(id, known.credential.principal.id()) {
            self.ready.push_back(Message::Withdrawal(one(oldest)));
        }
        // Later changes are noticed because the key is tracked; earlier ones are noticed here.
        if !is_kept || !self.app.credentials.has_not_changed(known) {
            self.reported.remove(id);
            self.ready.push_back(Message::Withdrawal(one(id)));
        }
    }

    /// The next heartbeat or withdrawal, or the end of the caller's rights.
    fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        let heartbeat = self.heartbeat.poll_tick(cx).is_ready();
        // Read before the withdrawals, so that it never confirms a verdict whose withdrawal the loop below has not seen.
        let until = if heartbeat { self.app.credentials.until() } else { None };
        while let Poll::Ready(Some(forgotten)) = Pin::new(&mut self.forgotten).poll_next(cx) {
            // An error means that too many were missed to name them individually.
            self.withdraw(forgotten.unwrap_or(Invalidation::Everything));
        }
        while let Poll::Ready(Some(checked)) = self.checks.poll_join_next(cx) {
            if let Ok(Err(error)) = checked {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if heartbeat && self.caller.session().is_some() && self.checks.is_empty() {
            // The end of a session invalidates no cached key, so it is not in `forgotten`.
            self.check_caller();
        }
        if heartbeat && self.caller.ends_at.is_some_and(|ends_at| ends_at <= self.app.now()) {
            return Poll::Ready(Some(Err(Error::Unauthenticated)));
        }
        if let Some(until) = until {
            let valid_until = Some(convert::time(wall_time(self.app.now(), until)));
            self.ready.push_back(Message::Heartbeat(pb::VerifyStreamHeartbeat { valid_until }));
        }
        match self.ready.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Pending,
        }
    }

    /// The next answer; `None` after the last one.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        loop {
            if let Poll::Ready(Some(Ok((id, answer)))) = self.waiting.poll_join_next(cx) {
                return Poll::Ready(Some(Ok(self.answer(id, answer))));
            }
            if !self.has_more_questions {
                return if self.waiting.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            }
            if self.waiting.len() >= MAX_WAITING {
                return Poll::Pending;
            }
            let question = match ready!(Pin::new(&mut self.questions).poll_next(cx)) {
                Some(Ok(question)) => question,
                Some(Err(status)) => return Poll::Ready(Some(Err(broken(&status)))),
                None => {
                    self.has_more_questions = false;
                    continue;
                }
            };
            let id = question.question_id;
            let question = match convert::api_key::only_question(question.question, &self.app.secrets) {
                Ok(question) => question,
                Err(error) => return Poll::Ready(Some(Ok(self.answer(id, Err(error))))),
            };
            if let Some(verification) = self.verifier.verify_cached(&question) {
                return Poll::Ready(Some(Ok(self.answer(id, Ok(verification)))));
            }
            let verifier = self.verifier.clone();
            self.waiting.spawn(async move { (id, verifier.verify(&question).await) });
        }
    }
}

impl Stream for VerifyStream {
    type Item = std::result::Result<pb::VerifyStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let Some(end) = self.end.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(ended) = Pin::new(end).poll(cx) {
            self.end = None;
            return Poll::Ready(ended.ok().map(Err));
        }
        let next = match self.poll_notice(cx) {
            Poll::Pending => ready!(self.poll_answer(cx)),
            Poll::Ready(notice) => notice,
        };
        Poll::Ready(match next {
            Some(Ok(message)) => Some(Ok(pb::VerifyStreamResponse { kind: Some(message) })),
            Some(Err(error)) => {
                self.end = None;
                Some(Err(error.into()))
            }
            None => None,
        })
    }
}

/// Ends a stream when the process stops, or when its client reads no more messages, not even heartbeats.
async fn watch(
    shutdown: Shutdown,
    slot: Slot,
    timeout: Duration,
    taken: Arc<AtomicU64>,
    mut end: oneshot::Sender<Status>,
) {
    let mut before = None;
    let error = loop {
        tokio::select! {
            () = end.closed() => return,
            () = shutdown.begun() => break Error::Stopping,
            () = tokio::time::sleep(timeout.max(HEARTBEAT * 4)) => {
                let now = Some(taken.load(Ordering::Relaxed));
                if now == before {
                    break Error::StreamTooSlow;
                }
                before = now;
            }
        }
    };
    // The stream may have ended already.
    let _ = end.send(error.into());
    drop(slot);
}

fn one(id: ApiKeyId) -> pb::VerifyStreamWithdrawal {
    pb::VerifyStreamWithdrawal { withdrawn: Some(verify_stream_withdrawal::Withdrawn::ApiKeyId(id.to_string())) }
}

fn all() -> pb::VerifyStreamWithdrawal {
    pb::VerifyStreamWithdrawal { withdrawn: Some(verify_stream_withdrawal::Withdrawn::All(true)) }
}
