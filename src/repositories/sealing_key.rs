//! Which sealing keys the database was written with.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::{
    db::{Conn, query, schema::sealing_keys},
    error::Result,
    models::{Sealed, Timestamp},
};

/// Stores the checks of sealing keys.
pub struct SealingKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl SealingKeyRepository<'_> {
    /// Stores the check of a key.
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

    /// Every key with its check. There are as many as keys were ever put first in the ring: a handful.
    pub async fn all(&mut self) -> Result<Vec<(String, Sealed)>> {
        query!(self.conn, c => {
            sealing_keys::table.select((sealing_keys::id, sealing_keys::key_check)).order(sealing_keys::id).load(c)
        })
    }
}
