//! Liveness and readiness. The process is ready while the database answers and no shutdown was requested.

use std::time::Duration;

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::sync::watch;

use crate::{
    db::Database,
    error::{Error, chain},
};

/// How long the database may take to answer. With the pause between two checks it bounds how late an outage shows.
const PATIENCE: Duration = Duration::from_secs(2);

/// The readiness of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    database_answers: bool,
    /// A shutdown was requested.
    pub is_stopping: bool,
}

impl Readiness {
    /// True if calls can be answered.
    pub fn is_ready(self) -> bool {
        self.database_answers && !self.is_stopping
    }
}

/// Tracks the readiness.
#[derive(Clone)]
pub struct Health {
    readiness: watch::Sender<Readiness>,
    shown: Gauge,
}

impl Default for Health {
    /// Starts as ready: the database has just answered.
    fn default() -> Self {
        let readiness = Readiness { database_answers: true, is_stopping: false };
        let shown = Gauge::default();
        shown.set(1);
        Self { readiness: watch::Sender::new(readiness), shown }
    }
}

impl Health {
    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("database_up", "Whether the database answers: 1 or 0", self.shown.clone());
    }

    /// True if calls can be answered.
    pub fn is_ready(&self) -> bool {
        self.readiness.borrow().is_ready()
    }

    /// Notes that a shutdown was requested.
    pub fn stop(&self) {
        self.readiness.send_modify(|readiness| readiness.is_stopping = true);
    }

    /// The readiness, now and after each change.
    pub fn subscribe(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Pings the database, and records whether it answered.
    pub async fn check(&self, db: &Database) {
        let answer = tokio::time::timeout(PATIENCE, db.ping()).await;
        let answer = answer.unwrap_or_else(|elapsed| Err(Error::Unavailable(Box::new(elapsed))));
        let database_answers = answer.is_ok();
        let has_changed = self.readiness.send_if_modified(|readiness| {
            std::mem::replace(&mut readiness.database_answers, database_answers) != database_answers
        });
        self.shown.set(i64::from(database_answers));
        match answer {
            Ok(()) if has_changed => tracing::info!("the database answers again: the service is ready"),
            Err(error) if has_changed => {
                tracing::error!(error = chain(&error), "the database does not answer: the service is not ready");
            }
            _ => {}
        }
    }
}
