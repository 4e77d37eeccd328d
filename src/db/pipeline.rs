//! Sends the statements of a PostgreSQL transaction in as few round trips as the protocol allows.
//!
//! A write whose result affects no decision is deferred until the next read or the commit. Deferred writes are combined into one statement:
//! `WITH a AS (INSERT ..) INSERT ..`. If that is all a transaction does, the statement is the transaction, without `BEGIN` and `COMMIT`.
//! Otherwise `BEGIN` is sent with the first read, and `COMMIT` with the last write. If a statement fails, PostgreSQL rejects those after it
//! and treats the `COMMIT` as a `ROLLBACK`, so nothing is half done.
//!
//! This relies on the order in which statements are sent. A statement known to be prepared is sent when its future is first polled; any
//! other needs a round trip to be prepared, and is awaited.

use std::{
    collections::{HashSet, VecDeque},
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

/// Maximum number of statements whose results have not arrived. One more waits for the first of them, so that little is sent in vain after
/// a statement that fails.
const WINDOW: usize = 32;

/// Maps an error of a statement to the error its sender expects.
pub(crate) type MapError = fn(Error) -> Error;

/// Texts of the statements that a connection has prepared.
pub(super) type PreparedTexts = Mutex<HashSet<String>>;

/// The pending result of a statement.
type Answer = Pin<Box<dyn Future<Output = QueryResult<()>> + Send>>;

/// A statement that was sent and whose result has not been awaited.
struct Pending {
    /// Never locked. A transaction is shared between threads by reference, and the mutex makes this field `Sync`.
    answer: Mutex<Answer>,
    on_errors: Vec<MapError>,
}

/// A deferred statement.
struct Deferred {
    text: String,
    /// In a mutex for the same reason as in [`Pending`].
    statement: Mutex<Box<dyn QueryFragment<Pg> + Send>>,
    on_error: MapError,
}

/// An exclusive connection and the statements deferred and sent on it.
pub(crate) struct Pipeline {
    pooled: Arc<Pooled>,
    /// The command that begins the transaction, until it is sent.
    begin: Option<&'static str>,
    deferred: Vec<Deferred>,
    pending: VecDeque<Pending>,
    /// Set once a statement has failed: the server rejects all further ones in this transaction.
    has_failed: bool,
}

impl Pipeline {
    pub(super) fn new(pooled: Pooled) -> Self {
        Self {
            pooled: Arc::new(pooled),
            begin: None,
            deferred: Vec::new(),
            pending: VecDeque::new(),
            has_failed: false,
        }
    }

    /// A connection whose first statement begins a transaction.
    pub(super) fn in_transaction(pooled: Pooled, begin: &'static str) -> Self {
        Self { begin: Some(begin), ..Self::new(pooled) }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.pooled
    }

    /// Defers a statement.
    pub(super) async fn defer<Q>(&mut self, statement: Prepared<Q>, on_error: MapError) -> Result<()>
    where
        Q: QueryFragment<Pg> + Send + 'static,
    {
        let mut builder = PgQueryBuilder::default();
        statement.to_sql(&mut builder, &Pg).map_err(to_error)?;
        let text = builder.finish();
        // The parts of a combined statement run in no defined order, and statements of the same text may depend on theirs.
        if self.deferred.iter().any(|deferred| deferred.text == text) {
            self.before_read().await?;
        }
        self.deferred.push(Deferred { text, statement: Mutex::new(Box::new(statement)), on_error });
        Ok(())
    }

    /// Sends `BEGIN` and the deferred statements, so that a read sees their effects.
    pub(super) async fn before_read(&mut self) -> Result<()> {
        self.no_failure().await?;
        if let Some(begin) = self.begin.take() {
            self.pooled.in_transaction.store(true, Ordering::Release);
            self.send(self.command(begin), Vec::new()).await?;
        }
        let Some((statement, on_errors)) = self.take_deferred() else { return Ok(()) };
        let is_prepared = self.prepared().contains(&statement.text);
        let text = statement.text.clone();
        let answer = self.answer_to(statement);
        if is_prepared {
            return self.send(answer, on_errors).await;
        }
        if let Err(error) = answer.await {
            let error = self.failed(error).await;
            return Err(map_error(error, &on_errors));
        }
        self.prepared().insert(text);
        Ok(())
    }

    /// Takes the results that have arrived, and waits for some if too many are pending. After a failure the server rejects whatever
    /// follows, so nothing more is sent.
    async fn no_failure(&mut self) -> Result<()> {
        loop {
            let is_full = self.pending.len() >= WINDOW;
            let Some(first) = self.pending.front_mut() else { return Ok(()) };
            let answer = first.answer.get_mut().unwrap_or_else(PoisonError::into_inner);
            // Results arrive in the order of their statements.
            let done = match poll_once(answer).await {
                Poll::Ready(done) => done,
                Poll::Pending if is_full => answer.await,
                Poll::Pending => return Ok(()),
            };
            let on_errors = self.pending.pop_front().map(|pending| pending.on_errors).unwrap_or_default();
            if let Err(error) = done {
                self.has_failed = true;
                // All further results are rejections that follow from it.
                let _ = self.answers().await;
                return Err(map_error(self.pooled.to_error(error), &on_errors));
            }
        }
    }

    /// The error to report for a failed statement: the first failure is the cause of all later ones.
    pub(super) async fn failed(&mut self, error: DieselError) -> Error {
        self.has_failed = true;
        self.answers().await.err().unwrap_or_else(|| self.pooled.to_error(error))
    }

    /// Commits, or returns the first failure.
    pub(super) async fn commit(mut self) -> Result<()> {
        if self.begin.is_some() {
            // Nothing was sent yet: a single statement is a transaction by itself.
            let Some((statement, on_errors)) = self.take_deferred() else { return Ok(()) };
            let done = self.answer_to(statement).await.map_err(|error| self.pooled.to_error(error));
            return done.map_err(|error| map_error(error, &on_errors));
        }
        if self.has_failed {
            self.rollback().await?;
            return Err(Error::internal("a transaction continued after one of its statements had failed"));
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

    /// Rolls back the transaction.
    pub(super) async fn rollback(mut self) -> Result<()> {
        if self.begin.is_some() {
            return Ok(());
        }
        // Their failures are the cause of the rollback, or irrelevant by now.
        let _ = self.answers().await;
        let rolled_back = self.command("ROLLBACK").await;
        self.end(&rolled_back);
        rolled_back.map_err(|error| self.pooled.to_error(error))
    }

    fn end(&self, ended: &QueryResult<()>) {
        self.pooled.in_transaction.store(ended.is_err(), Ordering::Release);
    }

    /// Waits for all results and returns the first failure.
    async fn answers(&mut self) -> Result<()> {
        let mut first = Ok(());
        for pending in self.pending.drain(..) {
            if let Err(error) = pending.answer.into_inner().unwrap_or_else(PoisonError::into_inner).await {
                first = first.and(Err(map_error(self.pooled.to_error(error), &pending.on_errors)));
            }
        }
        first
    }

    /// Combines all deferred statements into one.
    fn take_deferred(&mut self) -> Option<(CombinedStatement, Vec<MapError>)> {
        if self.deferred.is_empty() {
            return None;
        }
        let text = self.deferred.iter().map(|deferred| deferred.text.as_str()).collect::<Vec<_>>().join(";");
        let (parts, on_errors) = self
            .deferred
            .drain(..)
            .map(|deferred| {
                (deferred.statement.into_inner().unwrap_or_else(PoisonError::into_inner), deferred.on_error)
            })
            .unzip();
        Some((CombinedStatement { text, parts }, on_errors))
    }

    fn answer_to(&self, statement: CombinedStatement) -> Answer {
        let pooled = Arc::clone(&self.pooled);
        let span = trace::statement("postgresql");
        Box::pin(async move { statement.execute(&mut &pooled.inner).await.map(drop) }.instrument(span))
    }

    /// A command without parameters, which need not be prepared.
    fn command(&self, command: &'static str) -> Answer {
        let pooled = Arc::clone(&self.pooled);
        let span = trace::statement("postgresql");
        Box::pin(async move { (&pooled.inner).batch_execute(command).await }.instrument(span))
    }

    /// Sends a statement by polling its future once.
    async fn send(&mut self, mut answer: Answer, on_errors: Vec<MapError>) -> Result<()> {
        match poll_once(&mut answer).await {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(error)) => {
                let error = self.failed(error).await;
                Err(map_error(error, &on_errors))
            }
            Poll::Pending => {
                self.pending.push_back(Pending { answer: Mutex::new(answer), on_errors });
                Ok(())
            }
        }
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.pooled.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several writes as one statement. All of them see the rows as they were before it; constraints are checked after it.
struct CombinedStatement {
    /// The texts of the parts, joined.
    text: String,
    parts: Vec<Box<dyn QueryFragment<Pg> + Send>>,
}

impl QueryId for CombinedStatement {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for CombinedStatement {
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

/// Applies the error mappings of all parts of a statement.
fn map_error(error: Error, on_errors: &[MapError]) -> Error {
    on_errors.iter().fold(error, |error, on_error| on_error(error))
}

/// Polls a future once. Unconstrained, because the runtime must not defer the poll for fairness.
async fn poll_once(answer: &mut Answer) -> Poll<QueryResult<()>> {
    tokio::task::unconstrained(poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)))).await
}
