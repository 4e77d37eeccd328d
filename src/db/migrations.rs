//! The schema: embedded migrations, run by one process at a time.

use std::{fs::File, future::Future, path::Path, time::Duration};

use diesel::{migration::MigrationVersion, sqlite::SqliteConnection};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    postgres::{Connector, describe},
    sqlite::{self, Access},
};
use crate::config::{DatabaseArgs, DatabaseUrl};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Key of the PostgreSQL advisory lock held during start-up.
const ADVISORY_LOCK: i64 = 0x7465_6e61_6e74_7279;
/// Maximum wait for another start-up on the same database.
const STARTUP_TIMEOUT: Duration = Duration::from_mins(2);

/// Direction of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the newest version.
    Up,
    /// To an empty database.
    Down,
}

/// An exclusive lock on the database during start-up: processes that start at the same time take turns. Released when it is dropped or the
/// process ends.
pub struct StartupLock(Lock);

enum Lock {
    Sqlite(File),
    Postgres(Box<AsyncPgConnection>),
}

impl StartupLock {
    /// Waits for the lock.
    ///
    /// # Errors
    /// A one-line description of the problem.
    pub async fn take(settings: &DatabaseArgs) -> Result<Self, String> {
        match &settings.database_url {
            DatabaseUrl::Sqlite(path) => lock_file(path).await.map(Lock::Sqlite).map(Self),
            DatabaseUrl::Postgres(url) => {
                let connector = Connector::new(url, STARTUP_TIMEOUT, STARTUP_TIMEOUT)?;
                let connection = connector
                    .connect()
                    .await
                    .map_err(|error| format!("cannot connect to PostgreSQL: {}", describe(&error)))?;
                let mut connection = connection.inner;
                let lock = format!("SELECT pg_advisory_lock({ADVISORY_LOCK})");
                connection
                    .batch_execute(&lock)
                    .await
                    .map_err(|error| format!("another process holds the database: {error}"))?;
                Ok(Self(Lock::Postgres(Box::new(connection))))
            }
        }
    }

    /// Migrates the schema and returns the names of the migrations that ran.
    ///
    /// # Errors
    /// A one-line description of the problem; a schema newer than this binary is one.
    pub fn migrate(self, settings: &DatabaseArgs, direction: Direction) -> Result<(Self, Vec<String>), String> {
        match (self.0, &settings.database_url) {
            (Lock::Sqlite(file), DatabaseUrl::Sqlite(path)) => {
                let mut connection = sqlite::connect(&path.to_string_lossy(), Access::Write, settings.database_timeout)
                    .map_err(|error| format!("cannot open the database file {}: {error}", path.display()))?;
                let ran = run::<diesel::sqlite::Sqlite, SqliteConnection>(&mut connection, SQLITE, direction)?;
                Ok((Self(Lock::Sqlite(file)), ran))
            }
            (Lock::Postgres(connection), _) => {
                let mut harness = AsyncMigrationHarness::new(*connection);
                let ran = run::<diesel::pg::Pg, _>(&mut harness, POSTGRES, direction)?;
                Ok((Self(Lock::Postgres(Box::new(harness.into_inner()))), ran))
            }
            (Lock::Sqlite(_), DatabaseUrl::Postgres(_)) => Err("the lock belongs to another database".to_owned()),
        }
    }
}

/// Locks a file next to the database: SQLite's own locks cannot span several transactions.
async fn lock_file(path: &Path) -> Result<File, String> {
    sqlite::create(path).map_err(|error| format!("cannot open the database file {}: {error}", path.display()))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let wait = {
        let name = name.clone();
        tokio::task::spawn_blocking(move || -> std::io::Result<File> {
            let file = File::options().create(true).append(true).open(name)?;
            file.lock()?;
            Ok(file)
        })
    };
    let name = name.display();
    match tokio::time::timeout(STARTUP_TIMEOUT, wait).await {
        Ok(Ok(Ok(file))) => Ok(file),
        Ok(Ok(Err(error))) => Err(format!("cannot lock {name}: {error}")),
        Ok(Err(error)) => Err(format!("cannot lock {name}: {error}")),
        Err(_) => Err(format!("cannot lock {name}: another process holds it")),
    }
}

fn run<DB, H>(harness: &mut H, migrations: EmbeddedMigrations, direction: Direction) -> Result<Vec<String>, String>
where
    DB: diesel::backend::Backend,
    H: MigrationHarness<DB>,
    EmbeddedMigrations: diesel::migration::MigrationSource<DB>,
{
    use diesel::migration::MigrationSource;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| format!("the schema cannot be migrated: {error}");
    let known = MigrationSource::<DB>::migrations(&migrations).map_err(failed)?;
    let is_known =
        |version: &MigrationVersion<'_>| known.iter().any(|migration| migration.name().version() == *version);
    let applied = harness.applied_migrations().map_err(failed)?;
    if let Some(newer) = applied.iter().find(|version| !is_known(version)) {
        return Err(format!(
            "the database has a newer schema than this binary knows (migration {newer}); run a newer tenantry"
        ));
    }
    let ran = match direction {
        Direction::Up => harness.run_pending_migrations(migrations),
        Direction::Down => harness.revert_all_migrations(migrations),
    };
    Ok(ran.map_err(failed)?.iter().map(ToString::to_string).collect())
}

/// Runs `work` on the migrated schema while holding the start-up lock.
///
/// # Errors
/// Errors of the lock, the migrations or `work`.
pub async fn at_startup<T, F>(settings: &DatabaseArgs, work: impl FnOnce() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let lock = StartupLock::take(settings).await?;
    let (lock, ran) = lock.migrate(settings, Direction::Up)?;
    if !ran.is_empty() {
        tracing::info!(migrations = ran.join(", "), "the schema was migrated");
    }
    let done = work().await;
    drop(lock);
    done
}
