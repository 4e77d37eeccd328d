//! SQLite's writer connection and group commit.
//!
//! A commit waits for the disk, and SQLite has one writer. Transactions that wait for the writer while another holds it therefore become
//! one group: each runs in its own savepoint, exclusively and in order, and all are committed together with one disk sync. No caller gets a
//! response before that sync. A failed transaction is rolled back to its savepoint without affecting the others; its error is also returned
//! only after the group's commit, since it may depend on what the others wrote.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use diesel::{ConnectionResult, QueryResult, RunQueryDsl as _};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use tokio::{
    sync::{Mutex, Notify, OwnedMutexGuard, oneshot},
    time::Instant,
};

use super::{
    error::is_busy,
    prepared::Command,
    sqlite::{Access, InPlace, SqliteConn, connect},
    to_error,
};
use crate::{
    error::{Error, Result, chain},
    security::random,
};

/// The writer. Transactions get it in FIFO order.
#[derive(Clone)]
pub(super) struct Writer {
    state: Arc<Mutex<State>>,
    timeout: Duration,
    /// Signalled when a transaction has left a group that is not committed yet. Dropping the last writer stops the committing task.
    left: Arc<CommitTask>,
}

struct CommitTask(Arc<Notify>, tokio::task::AbortHandle);

impl Drop for CommitTask {
    fn drop(&mut self) {
        self.1.abort();
    }
}

struct State {
    path: PathBuf,
    connection: SqliteConn,
    group: Option<Group>,
}

/// Transactions that are committed together.
#[derive(Default)]
struct Group {
    /// Members waiting for the outcome of the commit.
    waiting: Vec<oneshot::Sender<bool>>,
    /// A member has begun and not ended: it was dropped, or holds the connection.
    has_open_member: bool,
}

/// A transaction in a group.
pub(crate) struct Member {
    state: OwnedMutexGuard<State>,
    left: Arc<Notify>,
}

impl Deref for Member {
    type Target = SqliteConn;

    fn deref(&self) -> &SqliteConn {
        &self.state.connection
    }
}

impl DerefMut for Member {
    fn deref_mut(&mut self) -> &mut SqliteConn {
        &mut self.state.connection
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.left.notify_one();
    }
}

impl Writer {
    pub(super) fn open(path: &Path, timeout: Duration) -> ConnectionResult<Self> {
        let state = State { path: path.to_owned(), connection: open(path)?, group: None };
        let (state, notify) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        let commit = commit_groups(Arc::clone(&state), Arc::clone(&notify));
        let left = Arc::new(CommitTask(notify, tokio::spawn(commit).abort_handle()));
        Ok(Self { state, timeout, left })
    }

    /// Begins a transaction that holds the write lock from its start. If it took the lock only at its first write, what it had read by then
    /// could be stale.
    ///
    /// Within the process, transactions queue for the connection. Another process may hold the lock too; waiting for it does not block a
    /// thread, so the call can still end at its deadline.
    pub(super) async fn begin(&self) -> Result<Member> {
        let give_up = Instant::now() + self.timeout;
        let state = tokio::time::timeout_at(give_up, Arc::clone(&self.state).lock_owned()).await;
        let state = state.map_err(|elapsed| Error::Unavailable(Box::new(elapsed)))?;
        let mut member = Member { state, left: Arc::clone(&self.left.0) };
        member.state.end_dropped_member();
        while member.state.group.is_none() {
            match member.state.run("BEGIN IMMEDIATE") {
                Ok(()) => member.state.group = Some(Group::default()),
                Err(error) if is_busy(&error) && Instant::now() < give_up => {
                    let [jitter] = random::bytes();
                    tokio::time::sleep(Duration::from_millis(1 + u64::from(jitter % 16))).await;
                }
                Err(error) => return Err(to_error(error)),
            }
        }
        member.state.run("SAVEPOINT member").map_err(to_error)?;
        if let Some(group) = &mut member.state.group {
            group.has_open_member = true;
        }
        Ok(member)
    }
}

impl Writer {
    /// Copies the log to the database and truncates it: it holds every page as it was before later changes. False if a reader needs it.
    pub(super) async fn truncate_log(&self) -> Result<bool> {
        #[derive(diesel::QueryableByName)]
        struct Checkpoint {
            #[diesel(sql_type = diesel::sql_types::Integer)]
            busy: i32,
        }
        let mut state = Arc::clone(&self.state).lock_owned().await;
        // A checkpoint runs outside of any transaction.
        state.commit();
        let truncated = run(&mut state.connection, |connection| {
            tokio::task::block_in_place(|| {
                diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(connection)
            })
        });
        match truncated {
            Ok(Checkpoint { busy }) => Ok(busy == 0),
            Err(error) if is_busy(&error) => Ok(false),
            Err(error) => Err(to_error(error)),
        }
    }
}

impl Member {
    /// Ends the transaction and waits until it is durable.
    pub(super) async fn commit(mut self) -> Result<()> {
        let released = self.state.run("RELEASE member");
        self.leave(released).await
    }

    /// Rolls the transaction back, then waits until the other members' writes that it may have read are durable.
    pub(super) async fn rollback(mut self) -> Result<()> {
        let rolled_back = self.state.roll_back();
        self.leave(rolled_back).await
    }

    async fn leave(mut self, ended: QueryResult<()>) -> Result<()> {
        if let Err(error) = ended {
            // SQLite rolls back the whole transaction by itself when the disk is full or fails.
            self.state.fail();
            return Err(Error::Unavailable(Box::new(error)));
        }
        let (outcome, committed) = oneshot::channel();
        if let Some(group) = &mut self.state.group {
            group.has_open_member = false;
            group.waiting.push(outcome);
        }
        drop(self);
        match committed.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Unavailable("the transaction could not be committed".into())),
        }
    }
}

impl State {
    fn run(&mut self, sql: &'static str) -> QueryResult<()> {
        run(&mut self.connection, move |connection| Command(sql).execute(connection).map(drop))
    }

    fn roll_back(&mut self) -> QueryResult<()> {
        self.run("ROLLBACK TO member")?;
        self.run("RELEASE member")
    }

    /// Rolls back a member that was dropped without commit or rollback.
    fn end_dropped_member(&mut self) {
        let Some(group) = self.group.as_mut().filter(|group| group.has_open_member) else { return };
        group.has_open_member = false;
        if let Err(error) = self.roll_back() {
            tracing::warn!(error = chain(&error), "a group of transactions was lost");
            self.fail();
        }
    }

    /// Commits the current group, if any, and notifies its members.
    fn commit(&mut self) {
        self.end_dropped_member();
        let Some(group) = self.group.take() else { return };
        // The commit waits for the disk.
        let commit = |connection: &mut diesel::SqliteConnection| {
            tokio::task::block_in_place(|| Command("COMMIT").execute(connection).map(drop))
        };
        let committed = run(&mut self.connection, commit);
        let is_done = committed.is_ok();
        if let Err(error) = committed {
            tracing::error!(error = chain(&error), members = group.waiting.len(), "a commit failed");
            self.reopen();
        }
        for member in group.waiting {
            // The receiver may be gone.
            let _ = member.send(is_done);
        }
    }

    /// Abandons the group: its members are notified that nothing was committed.
    fn fail(&mut self) {
        self.group = None;
        self.reopen();
    }

    /// Replaces a connection in an unknown state; SQLite rolls back its uncommitted work.
    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(connection) => self.connection = connection,
            Err(error) => tracing::error!(%error, "the database file cannot be opened again"),
        }
    }
}

/// Commits groups. When a member leaves, this task queues for the lock behind all waiting transactions, which thereby join the group.
async fn commit_groups(state: Arc<Mutex<State>>, left: Arc<Notify>) {
    loop {
        left.notified().await;
        state.lock().await.commit();
    }
}

fn open(path: &Path) -> ConnectionResult<SqliteConn> {
    // No busy timeout in SQLite itself: `Writer::begin` does the waiting.
    let connection = connect(&path.to_string_lossy(), Access::Write, Duration::ZERO)?;
    Ok(SyncConnectionWrapper::with_runtime(connection, InPlace::Short))
}

/// Runs `work` on the connection synchronously. [`InPlace`] never yields, so the first poll completes the future.
fn run<T: Send + 'static>(
    connection: &mut SqliteConn,
    work: impl FnOnce(&mut diesel::SqliteConnection) -> QueryResult<T> + Send + 'static,
) -> QueryResult<T> {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    match pin!(connection.spawn_blocking(work)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(diesel::result::Error::BrokenTransactionManager),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use std::{future::poll_fn, pin::Pin, task::Poll};

    use diesel::{QueryableByName, connection::SimpleConnection as _, sql_query, sql_types::BigInt};

    use super::*;

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }

    fn execute(member: &mut Member, sql: &'static str) {
        run(member, move |connection| connection.batch_execute(sql)).unwrap();
    }

    async fn rows(writer: &Writer) -> i64 {
        let mut member = writer.begin().await.unwrap();
        let count = |connection: &mut diesel::SqliteConnection| {
            sql_query("SELECT count(*) AS rows FROM things").get_result::<Count>(connection)
        };
        let count = run(&mut member, count).unwrap();
        member.rollback().await.unwrap();
        count.rows
    }

    /// A writer on a file with one table, whose foreign keys are checked at commit.
    async fn writer(directory: &tempfile::TempDir) -> Writer {
        let writer = Writer::open(&directory.path().join("file"), Duration::from_secs(30)).unwrap();
        let mut member = writer.begin().await.unwrap();
        execute(
            &mut member,
            "CREATE TABLE things (id integer PRIMARY KEY, other integer REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED)",
        );
        member.commit().await.unwrap();
        writer
    }

    /// Begins a transaction that waits for the current one and so joins its group.
    async fn queued(writer: &Writer) -> Pin<Box<impl Future<Output = Result<Member>>>> {
        let mut queued = Box::pin(writer.begin());
        let is_waiting = poll_fn(|cx| Poll::Ready(queued.as_mut().poll(cx).is_pending()));
        assert!(is_waiting.await);
        queued
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_that_fails_is_told_to_each_of_its_group_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let mut good = writer.begin().await.unwrap();
        let bad = queued(&writer).await;
        execute(&mut good, "INSERT INTO things VALUES (1, 1)");
        let bad = async {
            let mut bad = bad.await.unwrap();
            execute(&mut bad, "INSERT INTO things VALUES (2, 99)");
            bad.commit().await
        };
        let (good, bad) = tokio::join!(good.commit(), bad);
        assert!(matches!((good, bad), (Err(Error::Unavailable(_)), Err(Error::Unavailable(_)))));
        assert_eq!(rows(&writer).await, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_goes_without_a_word_and_one_that_is_undone_take_nothing_of_their_group_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let mut kept = writer.begin().await.unwrap();
        let (dropped, undone) = (queued(&writer).await, queued(&writer).await);
        execute(&mut kept, "INSERT INTO things VALUES (1, 1)");
        let others = async {
            let mut dropped = dropped.await.unwrap();
            execute(&mut dropped, "INSERT INTO things VALUES (2, 2)");
            drop(dropped);
            let mut undone = undone.await.unwrap();
            execute(&mut undone, "INSERT INTO things VALUES (3, 3)");
            undone.rollback().await
        };
        let (kept, undone) = tokio::join!(kept.commit(), others);
        kept.unwrap();
        undone.unwrap();
        assert_eq!(rows(&writer).await, 1);
    }
}
