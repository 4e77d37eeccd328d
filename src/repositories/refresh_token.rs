//! How refresh tokens are stored.

use diesel::{alias, dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    delete_up_to,
    reach::{first_within, within},
    row,
};
use crate::{
    db::{
        Conn, ForUpdate, ForUpdateOf, execute, query,
        schema::{refresh_tokens, users},
    },
    error::Result,
    models::{
        Action, Cursor, FamilyId, Locked, Page, PageRequest, Reach, RefreshToken, RefreshTokenId, Revision,
        RevokedReason, Sealed, SecretHash, Timestamp, User, UserId, UserState,
        refresh_token::{IpText, UserAgent},
    },
};

row!(refresh_tokens: RefreshTokenRow of RefreshToken {
    id: RefreshTokenId,
    revision: Revision,
    user_id: UserId,
    family_id: FamilyId,
    token_hash: SecretHash,
    parent_id: Option<RefreshTokenId>,
    user_agent: Option<UserAgent>,
    ip_address: Option<IpText>,
    expires_at: Timestamp,
    family_expires_at: Timestamp,
    rotated_at: Option<Timestamp>,
    successor_sealed: Option<Sealed>,
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<RevokedReason>,
    created_at: Timestamp,
    updated_at: Timestamp,
});

// The first token of a family, and its current one.
alias! {
    const FIRST: Alias<First> = refresh_tokens as first;
    const CURRENT: Alias<Current> = refresh_tokens as current;
}

/// Stores refresh tokens.
pub struct RefreshTokenRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A family that the running transaction has locked: nothing joins it or leaves it meanwhile.
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
    /// Stores a new refresh token.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn insert(&mut self, token: &RefreshToken) -> Result<()> {
        execute!(self.conn, diesel::insert_into(refresh_tokens::table).values(RefreshTokenRow::from(token)))?;
        self.conn.made(Action::RefreshTokenCreated, token);
        Ok(())
    }

    /// The refresh token of an id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&mut self, reach: &Reach, id: RefreshTokenId) -> Result<Option<RefreshToken>> {
        let row: Option<RefreshTokenRow> = query!(self.conn, c => {
            let query = refresh_tokens::table.filter(refresh_tokens::id.eq(id));
            let query = query.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            async { within!(refresh_tokens, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(RefreshToken::from))
    }

    /// The refresh token of a secret's hash.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_by_hash(&mut self, reach: &Reach, hash: &SecretHash) -> Result<Option<RefreshToken>> {
        let row: Option<RefreshTokenRow> = query!(self.conn, c => {
            let query = refresh_tokens::table.filter(refresh_tokens::token_hash.eq(hash));
            let query = query.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            async { within!(refresh_tokens, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(RefreshToken::from))
    }

    /// The successor of a refresh token.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_successor(&mut self, reach: &Reach, parent: RefreshTokenId) -> Result<Option<RefreshToken>> {
        let row: Option<RefreshTokenRow> = query!(self.conn, c => {
            let query = refresh_tokens::table.filter(refresh_tokens::parent_id.eq(parent));
            let query = query.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            async { within!(refresh_tokens, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(RefreshToken::from))
    }

    /// A page of a user's live sessions, each as its current token, in order of id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn list_live(
        &mut self,
        reach: &Reach,
        user_id: UserId,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<RefreshToken>> {
        let rows: Vec<RefreshTokenRow> = query!(self.conn, c => {
            let query = refresh_tokens::table
                .filter(refresh_tokens::user_id.eq(user_id))
                .filter(refresh_tokens::revoked_at.is_null())
                .filter(refresh_tokens::rotated_at.is_null())
                .filter(refresh_tokens::expires_at.gt(now))
                .filter(refresh_tokens::family_expires_at.gt(now));
            let mut query = query.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            if let Some(cursor) = &page.after {
                query = query.filter(refresh_tokens::id.gt(RefreshTokenId(cursor.id)));
            }
            within!(refresh_tokens, query, reach).order(refresh_tokens::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor { text: None, id: row.id.0 }))
    }

    /// Locks a family through its first token, which lives as long as the family. Every change within a family holds it, so
    /// that a rotation and a revocation cannot miss each other.
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

    /// Locks the family of a secret's hash, as [`Self::lock_family`] does, and finds the token as it is then, and whether its
    /// user is active. One statement: whoever rotates waits for one answer before deciding.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock_by_hash(
        &mut self,
        reach: &Reach,
        hash: &SecretHash,
    ) -> Result<Option<(LockedFamily, RefreshToken, bool)>> {
        // The first one too, and before the token itself: that is what everybody else in the family waits for. The token itself,
        // so that it is read as whoever had it before has left it.
        const LOCKED: &str = "first, cf_refresh_tokens";
        let found: Option<(RefreshTokenRow, Option<UserState>)> = first_within!(
            self.conn,
            refresh_tokens,
            refresh_tokens::table
                .inner_join(FIRST.on(FIRST.field(refresh_tokens::id).eq(refresh_tokens::family_id)))
                .filter(refresh_tokens::token_hash.eq(hash.clone()))
                .select((
                    RefreshTokenRow::as_select(),
                    users::table.filter(users::id.eq(refresh_tokens::user_id)).select(users::state).single_value(),
                )),
            reach,
            |query| ForUpdateOf(query, LOCKED)
        )?;
        let is_active = |state| state == Some(UserState::Active);
        Ok(found.map(|(row, state)| {
            let family = LockedFamily { id: row.family_id, user_id: row.user_id };
            (family, row.into(), is_active(state))
        }))
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
            // Apart, as what is told and counted are the tokens not yet traded: one a session.
            query!(self.conn, c => {
                let traded = refresh_tokens::table
                    .filter(refresh_tokens::user_id.eq(user_id))
                    .filter(refresh_tokens::family_id.eq_any(&ids))
                    .filter(refresh_tokens::revoked_at.is_null())
                    .filter(refresh_tokens::rotated_at.is_not_null());
                diesel::update(traded).set(revoked!(reason, now)).execute(c)
            })?;
            let current: Vec<RefreshTokenRow> = query!(self.conn, c => {
                let current = refresh_tokens::table
                    .filter(refresh_tokens::user_id.eq(user_id))
                    .filter(refresh_tokens::family_id.eq_any(&ids))
                    .filter(refresh_tokens::revoked_at.is_null())
                    .filter(refresh_tokens::rotated_at.is_null());
                diesel::update(current)
                    .set(revoked!(reason, now))
                    .returning(RefreshTokenRow::as_returning())
                    .get_results(c)
            })?;
            let action = match reason {
                RevokedReason::Reused => Action::RefreshTokenReused,
                RevokedReason::Revoked | RevokedReason::RevokedAll => Action::RefreshTokenRevoked,
            };
            live += current.len();
            self.conn.removed_all::<RefreshToken, _>(action, current);
        }
        Ok(live)
    }

    /// Trades a token of a locked family for its successor. `sealed` is the successor's secret, if it may be told again.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn rotate(
        &mut self,
        _family: &LockedFamily,
        token: RefreshToken,
        successor: &RefreshToken,
        sealed: Option<Sealed>,
        now: Timestamp,
    ) -> Result<()> {
        let trade = diesel::update(refresh_tokens::table.filter(refresh_tokens::id.eq(token.id))).set((
            refresh_tokens::rotated_at.eq(Some(now)),
            refresh_tokens::successor_sealed.eq(sealed),
            refresh_tokens::updated_at.eq(now),
            refresh_tokens::revision.eq(refresh_tokens::revision + 1),
        ));
        execute!(self.conn, trade)?;
        execute!(self.conn, diesel::insert_into(refresh_tokens::table).values(RefreshTokenRow::from(successor)))?;
        self.conn.changed(Action::RefreshTokenRotated, token, successor);
        Ok(())
    }

    /// Forgets the secret of a successor, in a locked family: it is used now and is not told again.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn forget_successor(&mut self, _family: &LockedFamily, id: RefreshTokenId) -> Result<()> {
        let found = refresh_tokens::table.filter(refresh_tokens::id.eq(id));
        execute!(self.conn, diesel::update(found).set(refresh_tokens::successor_sealed.eq(None::<Sealed>)))
    }

    /// A batch of all refresh tokens within a reach, in order of id, that are the current ones of live sessions.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn export(
        &mut self,
        reach: &Reach,
        after: Option<RefreshTokenId>,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<RefreshToken>> {
        let rows: Vec<RefreshTokenRow> = query!(self.conn, c => {
            let live = refresh_tokens::table
                .filter(refresh_tokens::revoked_at.is_null())
                .filter(refresh_tokens::rotated_at.is_null())
                .filter(refresh_tokens::expires_at.gt(now));
            let mut query = live.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything => query,
                Reach::User(id) => query.filter(refresh_tokens::user_id.eq(id)),
                // No organization reaches what is its members' own.
                Reach::Organization(_) => query.filter(refresh_tokens::id.ne(refresh_tokens::id)),
            };
            if let Some(after) = after {
                query = query.filter(refresh_tokens::id.gt(after));
            }
            query.order(refresh_tokens::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(RefreshToken::from).collect())
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
