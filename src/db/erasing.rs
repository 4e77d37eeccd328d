//! Erasing persons: whom a transaction erases, and old versions of their rows.

use super::{Conn, Database, Pools};
use crate::{
    error::Result,
    models::{Person, UserId},
};

impl Conn {
    /// From here on, the events of this transaction show nothing of a person who is being erased.
    pub(crate) fn erase(&mut self, person: Person) {
        self.erasing.push(person);
    }

    /// The persons who are being erased.
    pub(crate) fn erasing(&self) -> &[Person] {
        &self.erasing
    }

    /// A person who is being erased, to add what else is the person's.
    pub(crate) fn erasing_mut(&mut self, user: UserId) -> Option<&mut Person> {
        self.erasing.iter_mut().find(|person| person.user_id == user)
    }
}

impl Database {
    /// Removes old versions of rows from the files of the database, as far as that is in the hands of the service: on SQLite, the log is
    /// copied to the database and truncated. False if a reader still needs them. PostgreSQL removes them by itself, when it vacuums.
    ///
    /// # Errors
    /// `Error::Unavailable` if the database cannot be used.
    pub async fn forget_old_versions(&self) -> Result<bool> {
        match &self.pools {
            Pools::Sqlite(pools) => pools.truncate_log().await,
            Pools::Postgres(_) => Ok(true),
        }
    }
}
