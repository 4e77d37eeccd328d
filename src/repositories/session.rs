//! Sessions: the families of refresh tokens, and how they end.

use diesel::{alias, dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    delete_up_to,
    reach::within,
    refresh_token::{RefreshTokenRepository, RefreshTokenRow, current_of, live_of},
};
use crate::{
    db::{
        ForUpdate, first, query,
        schema::{refresh_tokens, users},
    },
    error::Result,
    models::{
        Action, FamilyId, Locked, Reach, RefreshToken, RefreshTokenId, RevokedReason, Sealed, Timestamp, User, UserId,
        UserState,
    },
};

/// Most sessions beyond as many as there may be that are ended at once: there are more only where the settings allowed more before.
const MAX_BEYOND: i64 = 100;

// The current token of a family.
alias! {
    const CURRENT: Alias<Current> = refresh_tokens as current;
}

/// A family that the running transaction has locked: of all changes within it only the trade of a token can still come between.
#[derive(Debug)]
pub struct LockedFamily {
    id: FamilyId,
    user_id: UserId,
}

/// What ends a token.
macro_rules! revoked {
    ($reason:expr, $now:expr) => {
        (
            refresh_tokens::revoked_at.eq(Some($now)),
            refresh_tokens::revoked_reason.eq(Some($reason)),
            refresh_tokens::successor_sealed.eq(None::<Sealed>),
            refresh_tokens::updated_at.eq($now),
            refresh_tokens::revision.eq(refresh_tokens::revision + 1),
        )
    };
}

impl RefreshTokenRepository<'_> {
    /// Locks a family through its first token, which lives as long as the family.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock_family(&mut self, reach: &Reach, family: FamilyId) -> Result<Option<LockedFamily>> {
        let user_id: Option<UserId> = query!(self.conn, c => {
            let query = refresh_tokens::table.filter(refresh_tokens::id.eq(RefreshTokenId(family.0)));
            let query = query.select(refresh_tokens::user_id).into_boxed::<Backend>();
            async { ForUpdate(within!(refresh_tokens, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(user_id.map(|user_id| LockedFamily { id: family, user_id }))
    }

    /// Locks all families of a user that have a live token, but not the one `except`, in order.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock_live_families(
        &mut self,
        reach: &Reach,
        user_id: UserId,
        except: Option<FamilyId>,
        now: Timestamp,
    ) -> Result<Vec<LockedFamily>> {
        let mut families: Vec<FamilyId> = query!(self.conn, c => {
            let query = refresh_tokens::table
                .filter(refresh_tokens::user_id.eq(user_id))
                .filter(refresh_tokens::revoked_at.is_null())
                .filter(refresh_tokens::rotated_at.is_null())
                .filter(refresh_tokens::expires_at.gt(now));
            let query = query.select(refresh_tokens::family_id).into_boxed::<Backend>();
            within!(refresh_tokens, query, reach).load(c)
        })?;
        families.retain(|family| Some(*family) != except);
        let firsts: Vec<RefreshTokenId> = families.iter().map(|family| RefreshTokenId(family.0)).collect();
        let mut locked = Vec::with_capacity(firsts.len());
        // SQLite binds at most 32,766 values in a statement.
        for firsts in firsts.chunks(10_000) {
            let families: Vec<FamilyId> = query!(self.conn, c => {
                let query = refresh_tokens::table.filter(refresh_tokens::id.eq_any(firsts));
                let query = query.order(refresh_tokens::id).select(refresh_tokens::family_id).into_boxed::<Backend>();
                ForUpdate(within!(refresh_tokens, query, reach)).load(c)
            })?;
            locked.extend(families.into_iter().map(|id| LockedFamily { id, user_id }));
        }
        Ok(locked)
    }

    /// Ends the sessions of locked families and tells how many had a live token.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn revoke(&mut self, families: &[LockedFamily], reason: RevokedReason, now: Timestamp) -> Result<usize> {
        let mut live = 0;
        for families in families.chunk_by(|one, next| one.user_id == next.user_id).flat_map(|own| own.chunks(10_000)) {
            let user_id = families[0].user_id;
            let ids: Vec<FamilyId> = families.iter().map(|family| family.id).collect();
            let action = match reason {
                RevokedReason::Reused => Action::RefreshTokenReused,
                RevokedReason::Revoked | RevokedReason::RevokedAll => Action::RefreshTokenRevoked,
            };
            // What is told and counted are the tokens not yet traded: one a session.
            loop {
                let current: Vec<RefreshTokenRow> = query!(self.conn, c => {
                    diesel::update(refresh_tokens::table.filter(current_of!(user_id, &ids)))
                        .set(revoked!(reason, now))
                        .returning(RefreshTokenRow::as_returning())
                        .get_results(c)
                })?;
                let is_each = current.len() == ids.len();
                live += current.len();
                self.conn.removed_all::<RefreshToken, _>(action, current);
                // One that was traded meanwhile has a successor, which only a statement from now on can see.
                if is_each || !self.have_current(user_id, &ids).await? {
                    break;
                }
            }
            query!(self.conn, c => {
                let traded = refresh_tokens::table
                    .filter(refresh_tokens::user_id.eq(user_id))
                    .filter(refresh_tokens::family_id.eq_any(&ids))
                    .filter(refresh_tokens::revoked_at.is_null())
                    .filter(refresh_tokens::rotated_at.is_not_null());
                diesel::update(traded).set(revoked!(reason, now)).execute(c)
            })?;
        }
        Ok(live)
    }

    /// True if some of a user's families have a token that is neither traded nor revoked.
    async fn have_current(&mut self, user_id: UserId, ids: &[FamilyId]) -> Result<bool> {
        query!(self.conn, c => {
            diesel::select(exists(refresh_tokens::table.filter(current_of!(user_id, ids)))).get_result(c)
        })
    }

    /// The live sessions of a user that are too many, the oldest ones, where one more is to begin.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn beyond(&mut self, user_id: UserId, most: u32, now: Timestamp) -> Result<Vec<FamilyId>> {
        let mut families: Vec<FamilyId> = query!(self.conn, c => {
            refresh_tokens::table
                .filter(live_of!(user_id, now))
                .select(refresh_tokens::family_id)
                .order(refresh_tokens::family_id.desc())
                .limit(i64::from(most).saturating_add(MAX_BEYOND))
                .load(c)
        })?;
        Ok(families.split_off(families.len().min(usize::try_from(most.saturating_sub(1)).unwrap_or(usize::MAX))))
    }

    /// When the session of an access token ends, if it goes on and its user is active. It takes no reach: it is what reach follows from.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn standing(&mut self, user_id: UserId, family: FamilyId, now: Timestamp) -> Result<Option<Timestamp>> {
        first!(
            self.conn,
            refresh_tokens::table
                .inner_join(users::table.on(users::id.eq(refresh_tokens::user_id)))
                .filter(refresh_tokens::user_id.eq(user_id))
                .filter(refresh_tokens::family_id.eq(family))
                .filter(refresh_tokens::revoked_at.is_null())
                .filter(refresh_tokens::rotated_at.is_null())
                .filter(refresh_tokens::family_expires_at.gt(now))
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .select(refresh_tokens::family_expires_at)
        )
    }

    /// How many live sessions a locked user has.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn count_live(&mut self, user: &Locked<User>, now: Timestamp) -> Result<i64> {
        query!(self.conn, c => {
            refresh_tokens::table.filter(live_of!(user.id, now)).count().get_result(c)
        })
    }

    /// Removes up to `limit` refresh tokens of a locked user and tells how many.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let matches = refresh_tokens::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, refresh_tokens: RefreshTokenRow of RefreshTokenId, matches);
        for token in rows.into_iter().map(RefreshToken::from).filter(|token| token.rotated_at.is_none()) {
            if token.is_live(now) {
                self.conn.removed(Action::RefreshTokenRevoked, token);
            }
        }
        Ok(found)
    }

    /// Removes up to `limit` tokens of sessions whose current token expired before `now`, and tells how many. It takes no
    /// reach and leaves no event: nothing that any call answers changes by it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete_expired(&mut self, now: Timestamp, limit: i64) -> Result<usize> {
        let current: Vec<RefreshTokenId> = query!(self.conn, c => {
            refresh_tokens::table
                .filter(refresh_tokens::rotated_at.is_null())
                .filter(refresh_tokens::expires_at.lt(now))
                .order(refresh_tokens::expires_at)
                .select(refresh_tokens::id)
                .limit(limit)
                .load(c)
        })?;
        // The traded ones first: without its current token nobody would find a family again.
        let traded: Vec<RefreshTokenId> = query!(self.conn, c => {
            let of_current = (CURRENT.field(refresh_tokens::user_id).eq(refresh_tokens::user_id))
                .and(CURRENT.field(refresh_tokens::family_id).eq(refresh_tokens::family_id));
            CURRENT
                .inner_join(refresh_tokens::table.on(of_current))
                .filter(CURRENT.field(refresh_tokens::id).eq_any(&current))
                .filter(refresh_tokens::rotated_at.is_not_null())
                .select(refresh_tokens::id)
                .limit(limit)
                .load(c)
        })?;
        let is_all = i64::try_from(traded.len()).unwrap_or(i64::MAX) < limit;
        let mut removed = 0;
        for ids in [Some(traded), is_all.then_some(current)].into_iter().flatten().filter(|ids| !ids.is_empty()) {
            removed += query!(self.conn, c => {
                diesel::delete(refresh_tokens::table.filter(refresh_tokens::id.eq_any(&ids))).execute(c)
            })?;
        }
        Ok(removed)
    }
}
