//! Database locks held by another process.

use super::{
    Test,
    database::{TestDatabase, connect},
};

/// A lock held outside the server.
pub enum Held {
    Sqlite(diesel::SqliteConnection),
    Postgres(tokio_postgres::Client),
}

impl Held {
    /// Locks all users against writes.
    pub async fn by_another_process(t: &Test) -> Self {
        // Reads still work, so that callers can be authenticated.
        Self::with(t, "LOCK TABLE cf_users IN SHARE MODE").await
    }

    /// Locks one row; on SQLite the whole database.
    pub async fn row(t: &Test, table: &str, id: &str) -> Self {
        Self::with(t, &format!("SELECT 1 FROM {table} WHERE id = '{id}' FOR UPDATE")).await
    }

    async fn with(t: &Test, on_postgres: &str) -> Self {
        use diesel::connection::{Connection as _, SimpleConnection as _};
        match &t.database {
            TestDatabase::Sqlite(_) => {
                let mut connection =
                    diesel::SqliteConnection::establish(t.database.url().trim_start_matches("sqlite:")).unwrap();
                connection.batch_execute("BEGIN IMMEDIATE").unwrap();
                Self::Sqlite(connection)
            }
            TestDatabase::Postgres(name) => {
                let client = connect(name).await;
                client.batch_execute(&format!("BEGIN; {on_postgres}")).await.unwrap();
                Self::Postgres(client)
            }
        }
    }

    /// Waits until `waiting` connections wait for a lock. Does nothing on SQLite, where waiters cannot be observed.
    pub async fn is_waited_for(&mut self, waiting: i64) {
        let Self::Postgres(client) = self else { return };
        let count = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                     WHERE NOT l.granted AND a.datname = current_database()";
        while client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) != waiting {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            // Within a transaction, the statistics are a snapshot.
            client.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
        }
    }

    pub async fn release(self) {
        use diesel::connection::SimpleConnection as _;
        match self {
            Self::Sqlite(mut connection) => connection.batch_execute("ROLLBACK").unwrap(),
            Self::Postgres(client) => client.batch_execute("ROLLBACK").await.unwrap(),
        }
    }
}
