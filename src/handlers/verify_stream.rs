//! `ApiKeyService.VerifyStream`: questions and answers on one stream, and the word when an answer does not hold any more.
//!
//! What is known is answered where it is asked, without a task or a queue between: that is what makes a stream faster than calls.

use std::{
    collections::{HashMap, VecDeque},
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

use super::{
    guards,
    stream::broken,
    verification::{Verification, Verifier, valid_until},
};
use crate::{
    context::App,
    convert,
    credentials::{Forgotten, Known},
    error::{Error, Result},
    feed::{Feed, Kind, Slot},
    models::{ApiKeyId, Caller, PrincipalId, Scope},
    pb::{
        self, verify_stream_answer::Outcome, verify_stream_response::Kind as Message,
        verify_stream_withdrawal::Withdrawn,
    },
};

/// How often a stream says that what it told is true.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Most questions of a stream that wait for the database. Further ones are not read meanwhile.
const MAX_ASKED: usize = 64;
/// Most keys that a stream remembers that it told of.
const MAX_TOLD: usize = 10_000;

/// The answers of a stream, and what else it says.
pub struct Answers {
    app: App,
    caller: Caller,
    scope: Scope,
    verifier: Verifier,
    questions: Streaming<pb::VerifyStreamRequest>,
    has_more_questions: bool,
    /// Questions that wait for the database.
    asked: JoinSet<(u64, Result<Verification>)>,
    /// What is to be said next.
    ready: VecDeque<Message>,
    told: Told,
    forgotten: BroadcastStream<Forgotten>,
    heartbeat: Interval,
    /// Whether the caller may still ask is being looked at.
    checks: JoinSet<Result<()>>,
    /// Counts how often the client took something.
    taken: Arc<AtomicU64>,
    end: Option<oneshot::Receiver<Status>>,
}

impl Answers {
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
        let slot = app.feed.open(&caller, Kind::Verify)?;
        let (end, ended) = oneshot::channel();
        let taken = Arc::default();
        tokio::spawn(watch(app.feed.clone(), slot, app.policy.stream_timeout, Arc::clone(&taken), end));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            verifier: Verifier::new(app.clone(), caller.clone()),
            app: app.clone(),
            caller,
            scope,
            questions,
            has_more_questions: true,
            asked: JoinSet::new(),
            ready: VecDeque::new(),
            told: Told::default(),
            forgotten: BroadcastStream::new(app.credentials.forgotten()),
            heartbeat,
            checks: JoinSet::new(),
            taken,
            end: Some(ended),
        })
    }

    /// Withdraws what is forgotten.
    fn withdraw(&mut self, forgotten: Forgotten) {
        let (key, owner) = (self.caller.api_key_id(), self.caller.principal.id());
        let withdrawn = match forgotten {
            Forgotten::Key(id) => self.told.remove(|told, _| told == id),
            Forgotten::Owner(id) => self.told.remove(|_, owner| owner == id),
            Forgotten::Standing(user, organization) if self.caller.user_id() == Some(user) => {
                self.told.remove(|_, owner| owner.0 == organization.0)
            }
            // Who accounts for a key changes no verdict.
            Forgotten::Standing(..) | Forgotten::Accountable(_) => return,
            Forgotten::Everything => {
                self.told = Told::default();
                self.ready.push_back(Message::Withdrawal(all()));
                Vec::new()
            }
        };
        self.ready.extend(withdrawn.into_iter().map(|id| Message::Withdrawal(one(id))));
        let concerns_caller = match forgotten {
            Forgotten::Key(id) => Some(id) == key,
            Forgotten::Owner(id) => id == owner,
            Forgotten::Standing(..) | Forgotten::Accountable(_) => false,
            Forgotten::Everything => true,
        };
        if concerns_caller {
            // One that runs may have looked too early.
            self.checks.abort_all();
            self.checks.spawn(may_still_ask(self.app.clone(), self.caller.clone(), self.scope.clone()));
        }
    }

    /// Answers a question, and what follows from it.
    fn answer(&mut self, question_id: u64, answer: Result<Verification>) -> Message {
        let outcome = match answer {
            Ok(verification) => {
                let told = self.verifier.wire(&verification);
                if let Some((_, known)) = &verification.found {
                    self.remember(known, verification.is_kept);
                }
                Outcome::Verification(told)
            }
            Err(Error::Invalid(_)) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
            Err(error) => {
                // Logged where errors are.
                drop(Status::from(error));
                Outcome::Error(pb::ErrorReason::Unavailable.into())
            }
        };
        Message::Answer(pb::VerifyStreamAnswer { question_id, outcome: Some(outcome) })
    }

    /// Remembers a key that the client may keep a verdict about, or takes the verdict back.
    fn remember(&mut self, known: &Known, is_kept: bool) {
        let id = known.credential.key.id;
        if let Some(oldest) = self.told.insert(id, known.credential.principal.id()) {
            self.ready.push_back(Message::Withdrawal(one(oldest)));
        }
        // Once it is remembered, a change is noticed; one before that, here.
        if !is_kept || !self.app.credentials.has_not_changed(known) {
            self.told.remove(|told, _| told == id);
            self.ready.push_back(Message::Withdrawal(one(id)));
        }
    }

    /// The next thing to say that nobody asked for.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        let heartbeat = self.heartbeat.poll_tick(cx).is_ready();
        // Before it is looked at what is forgotten: what it vouches for has nothing forgotten in it that is not seen then.
        let until = if heartbeat { self.app.credentials.until() } else { None };
        while let Poll::Ready(Some(forgotten)) = Pin::new(&mut self.forgotten).poll_next(cx) {
            // Too many to be told one by one, if it is an error.
            self.withdraw(forgotten.unwrap_or(Forgotten::Everything));
        }
        while let Poll::Ready(Some(checked)) = self.checks.poll_join_next(cx) {
            if let Ok(Err(error)) = checked {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if heartbeat && self.caller.session().is_some() && self.checks.is_empty() {
            // What ends a session no key forgets.
            self.checks.spawn(may_still_ask(self.app.clone(), self.caller.clone(), self.scope.clone()));
        }
        if heartbeat && self.caller.ends_at.is_some_and(|ends_at| ends_at <= self.app.now()) {
            return Poll::Ready(Some(Err(Error::Unauthenticated)));
        }
        if let Some(until) = until {
            let valid_until = Some(convert::time(valid_until(self.app.now(), until)));
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
            if let Poll::Ready(Some(Ok((id, answer)))) = self.asked.poll_join_next(cx) {
                return Poll::Ready(Some(Ok(self.answer(id, answer))));
            }
            if !self.has_more_questions {
                return if self.asked.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            }
            if self.asked.len() >= MAX_ASKED {
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
            let asked = pb::ApiKeyQuestion {
                plaintext_key: question.plaintext_key,
                required_scope: question.required_scope,
                ip_address: question.ip_address,
            };
            let question = match convert::api_key::question(asked) {
                Ok(question) => question,
                Err(error) => return Poll::Ready(Some(Ok(self.answer(id, Err(error))))),
            };
            if let Some(verification) = self.verifier.at_hand(&question) {
                return Poll::Ready(Some(Ok(self.answer(id, Ok(verification)))));
            }
            let verifier = self.verifier.clone();
            self.asked.spawn(async move { (id, verifier.verify(&question).await) });
        }
    }
}

impl Stream for Answers {
    type Item = std::result::Result<pb::VerifyStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let Some(end) = self.end.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(ended) = Pin::new(end).poll(cx) {
            self.end = None;
            return Poll::Ready(ended.ok().map(Err));
        }
        let said = match self.poll_unasked(cx) {
            Poll::Pending => ready!(self.poll_answer(cx)),
            Poll::Ready(said) => said,
        };
        Poll::Ready(match said {
            Some(Ok(message)) => Some(Ok(pb::VerifyStreamResponse { kind: Some(message) })),
            Some(Err(error)) => {
                self.end = None;
                Some(Err(error.into()))
            }
            None => None,
        })
    }
}

/// Refuses a caller whose key, scope or standing has ended since its stream began.
async fn may_still_ask(app: App, caller: Caller, scope: Scope) -> Result<()> {
    let (caller, scope, now) = (&caller, &scope, app.now());
    app.db.read(async |conn| guards::still_holds(conn, caller, scope, now).await).await
}

/// Ends a stream when the process stops, or when its client takes nothing any more: not even the heartbeats.
async fn watch(feed: Feed, slot: Slot, timeout: Duration, taken: Arc<AtomicU64>, mut end: oneshot::Sender<Status>) {
    let mut before = None;
    let error = loop {
        tokio::select! {
            () = end.closed() => return,
            () = feed.stopped() => break Error::Stopping,
            () = tokio::time::sleep(timeout.max(HEARTBEAT * 4)) => {
                let now = Some(taken.load(Ordering::Relaxed));
                if now == before {
                    break Error::StreamTooSlow;
                }
                before = now;
            }
        }
    };
    // It may have gone.
    let _ = end.send(error.into());
    drop(slot);
}

/// The keys that a stream told of, each with its owner.
#[derive(Default)]
struct Told {
    owners: HashMap<ApiKeyId, PrincipalId>,
    /// In the order in which they were told; some may be gone.
    order: VecDeque<ApiKeyId>,
}

impl Told {
    /// Adds a key. Tells one that had to go for it.
    fn insert(&mut self, id: ApiKeyId, owner: PrincipalId) -> Option<ApiKeyId> {
        if self.owners.insert(id, owner).is_some() {
            return None;
        }
        self.order.push_back(id);
        while self.order.len() > MAX_TOLD {
            let oldest = self.order.pop_front()?;
            if self.owners.remove(&oldest).is_some() {
                return Some(oldest);
            }
        }
        None
    }

    /// Removes keys, and tells which.
    fn remove(&mut self, which: impl Fn(ApiKeyId, PrincipalId) -> bool) -> Vec<ApiKeyId> {
        let removed: Vec<_> = self.owners.extract_if(|id, owner| which(*id, *owner)).map(|(id, _)| id).collect();
        if !removed.is_empty() {
            self.order.retain(|id| self.owners.contains_key(id));
        }
        removed
    }
}

fn one(id: ApiKeyId) -> pb::VerifyStreamWithdrawal {
    pb::VerifyStreamWithdrawal { withdrawn: Some(Withdrawn::ApiKeyId(id.to_string())) }
}

fn all() -> pb::VerifyStreamWithdrawal {
    pb::VerifyStreamWithdrawal { withdrawn: Some(Withdrawn::All(true)) }
}
