//! Revokes API keys in bulk, and deletes revoked ones.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{ApiKeyRepository, ApiKeyRow, owned};
use crate::{
    db::{query, schema::api_keys},
    error::Result,
    models::{Action, ApiKey, ApiKeyId, ApiKeyOwner, Organization, Timestamp, User, UserId},
    repositories::{Locked, MAX_BATCH, metadata},
};

/// Keys to revoke.
#[derive(Clone, Copy)]
enum Keys {
    /// All of an owner.
    Of(ApiKeyOwner),
    /// Those of organizations that descend from a user's account.
    From(UserId),
}

impl ApiKeyRepository<'_> {
    /// Revokes all keys of a locked user and returns how many were not revoked yet.
    pub async fn revoke_of_user(&mut self, user: &Locked<User>, reason: &str, now: Timestamp) -> Result<i64> {
        self.revoke_some(Keys::Of(ApiKeyOwner::User(user.id)), reason, now).await
    }

    /// Revokes all keys of a locked organization and returns how many were not revoked yet.
    pub async fn revoke_of_organization(
        &mut self,
        own: &Locked<Organization>,
        reason: &str,
        now: Timestamp,
    ) -> Result<i64> {
        self.revoke_some(Keys::Of(ApiKeyOwner::Organization(own.id)), reason, now).await
    }

    /// Revokes the keys of organizations that descend from the account of a locked user, and returns how many were not revoked yet.
    pub async fn revoke_from(&mut self, user: &Locked<User>, reason: &str, now: Timestamp) -> Result<i64> {
        self.revoke_some(Keys::From(user.id), reason, now).await
    }

    /// Revokes keys in batches, and returns how many were not revoked yet.
    async fn revoke_some(&mut self, keys: Keys, reason: &str, now: Timestamp) -> Result<i64> {
        let mut revoked = 0;
        loop {
            let ids: Vec<ApiKeyId> = query!(self.conn, c => {
                let query = api_keys::table.select(api_keys::id).into_boxed::<Backend>();
                let query = match keys {
                    Keys::Of(owner) => owned!(query, owner),
                    Keys::From(user) => query
                        .filter(api_keys::source_user_id.eq(user))
                        .filter(api_keys::organization_id.is_not_null()),
                };
                query.filter(api_keys::revoked_at.is_null()).limit(MAX_BATCH).load(c)
            })?;
            if ids.is_empty() {
                return Ok(revoked);
            }
            revoked += self.revoke_all(&ids, reason, now).await?;
        }
    }

    /// Revokes the given keys, except those already revoked.
    async fn revoke_all(&mut self, ids: &[ApiKeyId], reason: &str, now: Timestamp) -> Result<i64> {
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            diesel::update(api_keys::table.filter(api_keys::id.eq_any(ids)).filter(api_keys::revoked_at.is_null()))
                .set((
                    api_keys::revoked_at.eq(Some(now)),
                    api_keys::revoked_reason.eq(Some(reason)),
                    api_keys::updated_at.eq(now),
                    api_keys::revision.eq(api_keys::revision + 1),
                ))
                .returning(ApiKeyRow::as_returning())
                .get_results(c)
        })?;
        let revoked = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        for after in rows.into_iter().map(ApiKey::from) {
            let before = ApiKey { revoked_at: None, revoked_reason: None, ..after.clone() };
            self.conn.changed(Action::ApiKeyRevoked, before, &after);
        }
        Ok(revoked)
    }

    /// Deletes up to `limit` of an owner's revoked keys, beyond the `keep` revoked last. Takes no reach: the caller revokes a key of this
    /// owner, so its reach was checked before.
    pub async fn delete_oldest_revoked(&mut self, owner: ApiKeyOwner, keep: i64, limit: i64) -> Result<()> {
        let ids: Vec<ApiKeyId> = query!(self.conn, c => {
            let own = owned!(api_keys::table.select(api_keys::id).into_boxed::<Backend>(), owner);
            let revoked = own.filter(api_keys::revoked_at.is_not_null());
            revoked.order(api_keys::revoked_at.desc()).limit(limit).offset(keep).load(c)
        })?;
        if !ids.is_empty() {
            let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
                let found = api_keys::table.filter(api_keys::id.eq_any(&ids)).filter(api_keys::revoked_at.is_not_null());
                diesel::delete(found).returning(ApiKeyRow::as_returning()).get_results(c)
            })?;
            let removed: Vec<ApiKey> = rows.into_iter().map(ApiKey::from).collect();
            metadata::unindex(self.conn, &removed).await?;
            self.conn.removed_all::<ApiKey, _>(Action::ApiKeyDeleted, removed);
        }
        Ok(())
    }
}
