//! Storage of signing keys. They belong to the service, so no method takes a reach.
//!
//! No function here takes a reach: the keys are those of the service.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::row;
use crate::{
    db::{Conn, ForUpdate, execute, query, schema::signing_keys},
    error::Result,
    models::{PublicKey, Sealed, SigningAlgorithm, SigningKey, SigningKeyId, Timestamp},
};

row!(signing_keys: SigningKeyRow of SigningKey {
    id: SigningKeyId,
    algorithm: SigningAlgorithm,
    public_key: PublicKey,
    private_key: Sealed,
    signs_from: Timestamp,
    verifies_until: Option<Timestamp>,
    created_at: Timestamp,
});

/// Repository of signing keys.
pub struct SigningKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl SigningKeyRepository<'_> {
    /// Every key, in order of creation: a handful.
    pub async fn all(&mut self) -> Result<Vec<SigningKey>> {
        let rows: Vec<SigningKeyRow> = query!(self.conn, c => {
            signing_keys::table.order(signing_keys::id).select(SigningKeyRow::as_select()).load(c)
        })?;
        Ok(rows.into_iter().map(SigningKey::from).collect())
    }

    /// Locks every key, in order of creation: of concurrent processes, one creates the next key.
    pub async fn lock_all(&mut self) -> Result<Vec<SigningKey>> {
        let rows: Vec<SigningKeyRow> = query!(self.conn, c => {
            ForUpdate(signing_keys::table.order(signing_keys::id).select(SigningKeyRow::as_select())).load(c)
        })?;
        Ok(rows.into_iter().map(SigningKey::from).collect())
    }

    /// Stores a new key.
    pub async fn insert(&mut self, key: &SigningKey) -> Result<()> {
        execute!(self.conn, diesel::insert_into(signing_keys::table).values(SigningKeyRow::from(key)))
    }

    /// Sets the time until which a locked key verifies.
    pub async fn end(&mut self, id: SigningKeyId, verifies_until: Timestamp) -> Result<()> {
        let found = signing_keys::table.filter(signing_keys::id.eq(id));
        execute!(self.conn, diesel::update(found).set(signing_keys::verifies_until.eq(Some(verifies_until))))
    }

    /// Deletes a key that no longer verifies.
    pub async fn delete(&mut self, id: SigningKeyId) -> Result<()> {
        execute!(self.conn, diesel::delete(signing_keys::table.filter(signing_keys::id.eq(id))))
    }
}
