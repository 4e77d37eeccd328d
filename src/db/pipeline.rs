//! Statements of a PostgreSQL transaction, sent without waiting for the answers of those before.
//!
//! A transaction that waits for each answer pays a round trip for each statement. Here `BEGIN` goes with the first statement, a
//! write whose answer nothing is decided on goes with whatever comes next, and `COMMIT` goes with the last one. If a statement
//! fails, PostgreSQL refuses those behind it, and takes the `COMMIT` for a `ROLLBACK`: nothing is half done.
//!
//! All that rests on their order. A statement that is known to be prepared is sent when its future is first polled; one that is
//! not has a round trip before it, and is waited for.

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
    query_builder::{QueryBuilder as _, QueryFragment, QueryId},
    result::Error as DieselError,
};
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};

use super::{
    postgres::{Connection, Connector},
    to_error,
};
use crate::error::{Error, Result};

/// What an error of a statement means to whoever sent it.
pub(crate) type OnError = fn(Error) -> Error;

/// The texts of statements that a connection has prepared.
pub(super) type Prepared = Mutex<HashSet<String>>;

/// A connection had alone, from its pool.
type Pooled = bb8::PooledConnection<'static, Connector>;

/// The answer to a statement.
type Answer = Pin<Box<dyn Future<Output = QueryResult<()>> + Send>>;

/// An answer that is still to come.
struct Pending {
    /// Never locked: a transaction is shared between threads as a reference, and this is what lets it be.
    answer: Mutex<Answer>,
    on_error: OnError,
}

/// A connection of its own, and what was sent on it.
pub(crate) struct Pipeline {
    pooled: Arc<Pooled>,
    pending: Vec<Pending>,
    /// The server refuses whatever comes in this transaction.
    has_failed: bool,
}

impl Pipeline {
    pub(super) fn new(pooled: Pooled) -> Self {
        Self { pooled: Arc::new(pooled), pending: Vec::new(), has_failed: false }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.pooled
    }

    /// Begins a transaction.
    pub(super) async fn begin(&mut self, begin: &'static str) -> Result<()> {
        self.pooled.in_transaction.store(true, Ordering::Release);
        self.send(self.command(begin), |error| error).await
    }

    /// Sends a statement.
    pub(super) async fn defer<Q>(&mut self, query: Q, on_error: OnError) -> Result<()>
    where
        Q: QueryFragment<Pg> + QueryId + Send + 'static,
    {
        let text = text(&query).map_err(to_error)?;
        let is_prepared = text.as_ref().is_some_and(|text| self.prepared().contains(text));
        let pooled = Arc::clone(&self.pooled);
        let answer: Answer = Box::pin(async move { query.execute(&mut &pooled.inner).await.map(drop) });
        if is_prepared {
            return self.send(answer, on_error).await;
        }
        if let Err(error) = answer.await {
            return Err(on_error(self.failed(error).await));
        }
        self.prepared().extend(text);
        Ok(())
    }

    /// What a failed statement means. The first failure is the cause of those after it.
    pub(super) async fn failed(&mut self, error: DieselError) -> Error {
        self.has_failed = true;
        self.answers().await.err().unwrap_or_else(|| to_error(error))
    }

    /// Commits, and tells what failed if anything did.
    pub(super) async fn commit(mut self) -> Result<()> {
        if self.has_failed {
            self.rollback().await?;
            return Err(Error::internal("a transaction went on after one of its statements had failed"));
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
        committed.map_err(to_error)
    }

    /// Undoes whatever was done.
    pub(super) async fn rollback(mut self) -> Result<()> {
        // Their failures are why it is undone, or of no more interest.
        let _ = self.answers().await;
        let rolled_back = self.command("ROLLBACK").await;
        self.end(&rolled_back);
        rolled_back.map_err(to_error)
    }

    fn end(&self, ended: &QueryResult<()>) {
        self.pooled.in_transaction.store(ended.is_err(), Ordering::Release);
    }

    /// Waits for all answers, and tells the first failure.
    async fn answers(&mut self) -> Result<()> {
        let mut first = Ok(());
        for pending in self.pending.drain(..) {
            if let Err(error) = pending.answer.into_inner().unwrap_or_else(PoisonError::into_inner).await {
                first = first.and_then(|()| Err((pending.on_error)(to_error(error))));
            }
        }
        first
    }

    /// A command without parameters, which needs not be prepared.
    fn command(&self, command: &'static str) -> Answer {
        let pooled = Arc::clone(&self.pooled);
        Box::pin(async move { (&pooled.inner).batch_execute(command).await })
    }

    /// Sends what is sent when it is first polled.
    async fn send(&mut self, mut answer: Answer, on_error: OnError) -> Result<()> {
        match poll_once(&mut answer).await {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(error)) => Err(on_error(self.failed(error).await)),
            Poll::Pending => {
                self.pending.push(Pending { answer: Mutex::new(answer), on_error });
                Ok(())
            }
        }
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.pooled.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text of a statement, if one of this text is prepared once and kept.
fn text<Q: QueryFragment<Pg>>(query: &Q) -> QueryResult<Option<String>> {
    if !query.is_safe_to_cache_prepared(&Pg)? {
        return Ok(None);
    }
    let mut builder = PgQueryBuilder::default();
    query.to_sql(&mut builder, &Pg)?;
    Ok(Some(builder.finish()))
}

/// Polls a future once. Unconstrained: the runtime must not put the poll off for the sake of fairness.
async fn poll_once(answer: &mut Answer) -> Poll<QueryResult<()>> {
    tokio::task::unconstrained(poll_fn(|context| Poll::Ready(answer.as_mut().poll(context)))).await
}
