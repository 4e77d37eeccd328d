//! How far the events of the database are settled, for those who follow them.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};

use crate::{
    db::Database,
    error::{Result, chain},
    models::Sequence,
};

/// Maximum delay until commits of other processes are seen. Those of this process are seen at once.
const POLL: Duration = Duration::from_millis(100);
/// How long to collect commits before notifying followers, so that many changes cost one read.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait after the database could not be read.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The event stream of a process.
#[derive(Clone)]
pub struct Feed(Arc<Position>);

struct Position {
    /// The position up to which every event is settled.
    settled: watch::Sender<Sequence>,
    /// Notified when a follower subscribes.
    followed: Notify,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Position { settled: watch::Sender::new(0), followed: Notify::new() }))
    }
}

impl Feed {
    /// Subscribes to the settled position.
    pub fn follow(&self) -> watch::Receiver<Sequence> {
        let receiver = self.0.settled.subscribe();
        self.0.followed.notify_one();
        receiver
    }

    /// Advances the settled position, without end. Does not query the database while there is no follower.
    pub async fn run(self, db: Database) {
        loop {
            if self.0.settled.receiver_count() == 0 {
                self.0.followed.notified().await;
            }
            match self.advance(&db).await {
                Ok(()) => {
                    tokio::select! {
                        () = db.committed() => tokio::time::sleep(GATHER).await,
                        () = self.0.followed.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the event stream cannot advance");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn advance(&self, db: &Database) -> Result<()> {
        let settled = db.read(async |conn| conn.events().settled().await).await?;
        self.0.settled.send_if_modified(|place| {
            let is_further = settled > *place;
            *place = settled.max(*place);
            is_further
        });
        Ok(())
    }
}
