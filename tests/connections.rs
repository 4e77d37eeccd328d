//! Calls during the loss of database connections.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tenantry::pb;
use tokio::task::JoinSet;

use crate::support::{
    Backend, Test,
    database::{TestDatabase, connect},
};

/// Ends all other connections to the database. Returns their number.
async fn end_connections(t: &Test) -> usize {
    let TestDatabase::Postgres(name) = &t.database else { panic!("SQLite has no server connections") };
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connect(name).await.query(sql, &[]).await.unwrap().len()
}

mod reads_are_answered_whatever_connections_end_meanwhile {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        crate::support::run(Backend::Postgres, &[], body).await;
    }

    async fn body(t: Arc<Test>) {
        let ada = t.user("ada").await;
        let is_over = Arc::new(AtomicBool::new(false));
        let answered: Arc<[AtomicUsize; 16]> = Arc::default();
        let mut readers = JoinSet::new();
        for reader in 0..answered.len() {
            let (api, user_id) = (t.admin(), ada.id.clone());
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            readers.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let got = api.users().get_user(pb::GetUserRequest { user_id: user_id.clone() }).await;
                    got.unwrap_or_else(|status| panic!("a read failed: {status:?}"));
                    answered[reader].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..10 {
            let before = answered.each_ref().map(|count| count.load(Ordering::Relaxed));
            assert!(end_connections(&t).await > 0, "round {round}");
            // A read is retried once per connection, so every read must finish before the next loss.
            let is_done = |reader: usize| answered[reader].load(Ordering::Relaxed) >= before[reader] + 10;
            while !(0..before.len()).all(is_done) {
                if let Some(failed) = readers.try_join_next() {
                    failed.unwrap();
                }
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        while let Some(reader) = readers.join_next().await {
            reader.unwrap();
        }
    }
}
