//! A database that somebody else holds.

use super::{
    Test,
    database::{TestDatabase, connect},
};

/// A lock of all users that is not the server's.
pub enum Held {
    Sqlite(diesel::SqliteConnection),
    Postgres(tokio_postgres::Client),
}

impl Held {
    pub async fn by_another_process(t: &Test) -> Self {
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
                // Reads go on: who calls must still be found.
                client.batch_execute("BEGIN; LOCK TABLE cf_users IN SHARE MODE").await.unwrap();
                Self::Postgres(client)
            }
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
