//! Records which sealing keys the database was written with.
//!
//! No function here takes a reach: the keys are those of the service.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    db::{Conn, query, schema::sealing_keys},
    error::Result,
    models::{Sealed, Timestamp},
};

/// Repository of sealing key checks.
pub struct SealingKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl SealingKeyRepository<'_> {
    /// Stores the check value of a key.
    pub async fn insert(&mut self, id: &str, check: &Sealed, now: Timestamp) -> Result<()> {
        query!(self.conn, c => {
            diesel::insert_into(sealing_keys::table)
                .values((
                    sealing_keys::id.eq(id),
                    sealing_keys::key_check.eq(check),
                    sealing_keys::created_at.eq(now),
                ))
                .execute(c)
        })?;
        Ok(())
    }

    /// Every key with its check value. There is one for each key that was ever first in the ring: a handful.
    pub async fn all(&mut self) -> Result<Vec<(String, Sealed)>> {
        query!(self.conn, c => {
            sealing_keys::table.select((sealing_keys::id, sealing_keys::key_check)).order(sealing_keys::id).load(c)
        })
    }
}
