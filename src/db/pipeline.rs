//! Statements of a PostgreSQL transaction, in as few round trips as the protocol allows.
//!
//! A write whose answer nothing is decided on is held back until something is read, or until the commit. What is held becomes one
//! statement: `WITH a AS (INSERT ..) INSERT ..`. If it is all that a transaction does, it is the transaction, and needs neither
//! `BEGIN` nor `COMMIT`. Otherwise `BEGIN` goes with the first read, and `COMMIT` with the last write. If a statement fails,
//! PostgreSQL refuses those behind it and takes the `COMMIT` for a `ROLLBACK`: nothing is half done.
//!
//! That rests on the order in which statements are sent. One that is known to be prepared is sent when its future is first polled;
//! one that is not has a round trip before it, and is waited for.

use std::{
    collections::HashSet,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    task::Poll,
};

use diesel::{
    QueryResult,
    pg::{Pg, PgQueryBuilder},
    query_builder::{AstPass, QueryBuilder as _, QueryFragment, QueryId},
    result::Error as DieselError,
};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use tracing::Instrument as _;

use super::{
    postgres::{Connection, Pooled},
    prepared::Prepared,
    to_error,
};
use crate::{
    error::{Error, Result},
    telemetry::trace,
};

/// What an error of a statement means to whoever sent it.
pub(crate) type OnError = fn(Error) -> Error;

/// The texts of statements that a connection has prepared.
pub(super) type PreparedTexts = Mutex<HashSet<String>>;

/// The answer to a statement.
type Answer = Pin<Box<dyn Future<Output = QueryResult<()>> + Send>>;

/// An answer that is still to come.
struct Pending {
    /// Never locked: a transaction is shared between threads as a reference, and this is what lets it be.
    answer: Mutex<Answer>,
    on_errors: Vec<OnError>,
}

/// A statement that is held back.
struct Held {
    text: String,
    /// As that of [`Pending`].
    statement: Mutex<Box<dyn QueryFragment<Pg> + Send>>,
    on_error: OnError,
}

/// A connection of its own, and what was sent on it.
pub(crate) struct Pipeline {
    pooled: Arc<Pooled>,
    /// What begins the transaction, if it is not sent yet.
    begin: Option<&'static str>,
    held: Vec<Held>,
    pending: Vec<Pending>,
    /// The server refuses whatever comes in this transaction.
    has_failed: bool,
}

impl Pipeline {
    pub(super) fn new(pooled: Pooled) -> Self {
        Self { pooled: Arc::new(pooled), begin: None, held: Vec::new(), pending: Vec::new(), has_failed: false }
    }

    /// A connection whose first statement begins a transaction.
    pub(super) fn in_transaction(pooled: Pooled, begin: &'static str) -> Self {
        Self { begin: Some(begin), ..Self::new(pooled) }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.pooled
    }

    /// Holds a statement back.
    pub(super) async fn defer<Q>(&mut self, statement: Prepared<Q>, on_error: OnError) -> Result<()>
    where
        Q: QueryFragment<Pg> + Send + 'static,
    {
        let mut builder = PgQueryBuilder::default();
        statement.to_sql(&mut builder, &Pg).map_err(to_error)?;
        let text = builder.finish();
        // Parts of one statement have no order, and those of one text may depend on theirs.
        if self.held.iter().any(|held| held.text == text) {
            self.before_read().await?;
        }
        self.held.push(Held { text, statement: Mutex::new(Box::new(statement)), on_error });
        Ok(())
    }

    /// Sends what must come before a read.
    pub(super) async fn before_read(&mut self) -> Result<()> {
        if let Some(begin) = self.begin.take() {
            self.pooled.in_transaction.store(true, Ordering::Release);
            self.send(self.command(begin), Vec::new()).await?;
        }
        let Some((statement, on_errors)) = self.take_held() else { return Ok(()) };
        let is_prepared = self.prepared().contains(&statement.text);
        let text = statement.text.clone();
        let answer = self.answer_to(statement);
        if is_prepared {
            return self.send(answer, on_errors).await;
        }
        if let Err(error) = answer.await {
            let error = self.failed(error).await;
            return Err(meaning(error, &on_errors));
        }
        self.prepared().insert(text);
        Ok(())
    }

    /// What a failed statement means. The first failure is the cause of those after it.
    pub(super) async fn failed(&mut self, error: DieselError) -> Error {
        self.has_failed = true;
        self.answers().await.err().unwrap_or_else(|| self.pooled.to_error(error))
    }

    /// Commits, and tells what failed if anything did.
    pub(super) async fn commit(mut self) -> Result<()> {
        if self.begin.is_some() {
            // Nothing was sent: one statement is a transaction by itself.
            let Some((statement, on_errors)) = self.take_held() else { return Ok(()) };
            let done = self.answer_to(statement).await.map_err(|error| self.pooled.to_error(error));
            return done.map_err(|error| meaning(error, &on_errors));
        }
        if self.has_failed {
            self.rollback().await?;
            return Err(Error::internal("a transaction went on after one of its statements had failed"));
        }
        if let Err(error) = self.before_read().await {
            self.rollback().await?;
            return Err(error);
        }
        let mut commit = self.command("COMMIT");
        let sent = poll_once(&mut commit).await;
        let answers = self.answers().await;
        let committed = match sent {
            Poll::Ready(done) => done,
            Poll::Pending => commit.await,
        };
        self.end(&committed);
        answers?;
        committed.map_err(|error| self.pooled.to_error(error))
    }

    /// Undoes whatever was done.
    pub(super) async fn rollback(mut self) -> Result<()> {
        if self.begin.is_some() {
            return Ok(());
        }
        // Their failures are why it is undone, or of no more interest.
        let _ = self.answers().await;
        let rolled_back = self.command("ROLLBACK").await;
        self.end(&rolled_back);
        rolled_back.map_err(|error| self.pooled.to_error(error))
    }

    fn end(&self, ended: &QueryResult<()>) {
        self.pooled.in_transaction.store(ended.is_err(), Ordering::Release);
    }

    /// Waits for all answers, and tells the first failure.
    async fn answers(&mut self) -> Result<()> {
        let mut first = Ok(());
        for pending in self.pending.drain(..) {
            if let Err(error) = pending.answer.into_inner().unwrap_or_else(PoisonError::into_inner).await {
                first = first.and(Err(meaning(self.pooled.to_error(error), &pending.on_errors)));
            }
        }
        first
    }

    /// What is held, as one statement.
    fn take_held(&mut self) -> Option<(Together, Vec<OnError>)> {
        if self.held.is_empty() {
            return None;
        }
        let text = self.held.iter().map(|held| held.text.as_str()).collect::<Vec<_>>().join(";");
        let (parts, on_errors) = self
            .held
            .drain(..)
            .map(|held| (held.statement.into_inner().unwrap_or_else(PoisonError::into_inner), held.on_error))
            .unzip();
        Some((Together { text, parts }, on_errors))
    }

    fn answer_to(&self, statement: Together) -> Answer {
        let pooled = Arc::clone(&self.pooled);
        let span = trace::statement("postgresql");
        Box::pin(async move { statement.execute(&mut &pooled.inner).await.map(drop) }.instrument(span))
    }

    /// A command without parameters, which needs not be prepared.
    fn command(&self, command: &'static str) -> Answer {
        let pooled = Arc::clone(&self.pooled);
        let span = trace::statement("postgresql");
        Box::pin(async move { (&pooled.inner).batch_execute(command).await }.instrument(span))
    }

    /// Sends what is sent when it is first polled.
    async fn send(&mut self, mut answer: Answer, on_errors: Vec<OnError>) -> Result<()> {
        match poll_once(&mut answer).await {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(error)) => {
                let error = self.failed(error).await;
                Err(meaning(error, &on_errors))
            }
            Poll::Pending => {
                self.pending.push(Pending { answer: Mutex::new(answer), on_errors });
                Ok(())
            }
        }
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.pooled.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several writes as one statement. They see the same rows, those from before it; what constraints ask for is looked at after it.
struct Together {
    /// The texts of the parts.
    text: String,
    parts: Vec<Box<dyn QueryFragment<Pg> + Send>>,
}

impl QueryId for Together {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Together {
    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }

    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some((last, others)) = self.parts.split_last() else { return Ok(()) };
        for (at, part) in others.iter().enumerate() {
            out.push_sql(if at == 0 { "WITH part" } else { ", part" });
            out.push_sql(&at.to_string());
            out.push_sql(" AS (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(")");
        }
        if !others.is_empty() {
            out.push_sql(" ");
        }
        last.walk_ast(out)
    }
}

/// What an error means to those who sent the parts of a statement.
fn meaning(error: Error, on_errors: &[OnError]) -> Error {
    on_errors.iter().fold(error, |error, on_error| on_error(error))
}

/// Polls a future once. Unconstrained: the runtime must not put the poll off for the sake of fairness.
async fn poll_once(answer: &mut Answer) -> Poll<QueryResult<()>> {
    tokio::task::unconstrained(poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)))).await
}
