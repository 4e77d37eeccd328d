//! Ends sessions, and deletes ended ones.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{super::delete_up_to, SessionRepository, SessionRow, live};
use crate::{
    db::{
        first, query,
        schema::{sessions, users},
    },
    error::Result,
    models::{Action, OrganizationId, RevokedReason, Session, SessionId, Timestamp, User, UserId, UserState},
    repositories::Locked,
};

/// Maximum sessions of a user that are kept after they have ended; when a new one begins, the oldest beyond that are deleted.
const KEPT: usize = 100;
/// Sessions of a user examined when one begins, in addition to the limit. There are more only if the limit was higher before, or while the
/// sweep lags behind.
const LOOKED_AT: usize = 200;
/// Maximum sessions of an organization ended per statement.
const BATCH: i64 = 1_000;

/// Column values that end a session.
macro_rules! ended {
    ($reason:expr, $now:expr) => {
        (
            sessions::revoked_at.eq(Some($now)),
            sessions::revoked_reason.eq(Some($reason)),
            sessions::updated_at.eq($now),
            sessions::revision.eq(sessions::revision + 1),
        )
    };
}

/// Ends the matching sessions in one statement and records an event for each. A concurrent refresh either comes first, and its session
/// still ends here, or finds the session ended.
macro_rules! end {
    ($conn:expr, $reason:expr, $now:expr, $matches:expr) => {{
        let action = match $reason {
            RevokedReason::Reused => Action::SessionReused,
            RevokedReason::Revoked | RevokedReason::RevokedAll => Action::SessionRevoked,
        };
        let ended: Vec<SessionRow> = query!($conn, c => {
            diesel::update(sessions::table.filter($matches))
                .set(ended!($reason, $now))
                .returning(SessionRow::as_returning())
                .get_results(c)
        })?;
        let count = ended.len();
        $conn.removed_all::<Session, _>(action, ended);
        count
    }};
}

impl SessionRepository<'_> {
    /// Ends a session that was looked up before, unless it has ended already. Returns 1 or 0.
    /// Takes no reach: it was looked up within one.
    pub async fn end(&mut self, session: &Session, reason: RevokedReason, now: Timestamp) -> Result<usize> {
        let matches = sessions::id.eq(session.id).and(sessions::revoked_at.is_null());
        Ok(end!(self.conn, reason, now, matches))
    }

    /// Ends all live sessions of a user except one, in one statement, and returns how many. The user was looked up before within the
    /// caller's reach; if it is locked too, no session begins meanwhile. Takes no reach: the user was looked up within one.
    pub async fn end_of_user(
        &mut self,
        user_id: UserId,
        except: Option<SessionId>,
        reason: RevokedReason,
        now: Timestamp,
    ) -> Result<usize> {
        let of_user = sessions::user_id.eq(user_id).and(live!(now));
        if let Some(except) = except {
            return Ok(end!(self.conn, reason, now, of_user.and(sessions::id.ne(except))));
        }
        Ok(end!(self.conn, reason, now, of_user))
    }

    /// Ends all live sessions for an organization and returns how many. Takes no reach: the organization was looked up before.
    pub async fn end_of_organization(&mut self, organization: OrganizationId, now: Timestamp) -> Result<usize> {
        let mut total = 0;
        loop {
            let ids: Vec<SessionId> = query!(self.conn, c => {
                sessions::table
                    .filter(sessions::organization_id.eq(organization))
                    .filter(live!(now))
                    .order(sessions::id)
                    .select(sessions::id)
                    .limit(BATCH)
                    .load(c)
            })?;
            if ids.is_empty() {
                return Ok(total);
            }
            let matches = sessions::id
                .eq_any(ids)
                .and(sessions::organization_id.eq(organization))
                .and(sessions::revoked_at.is_null());
            total += end!(self.conn, RevokedReason::RevokedAll, now, matches);
        }
    }

    /// Makes room for one more session of a locked user: ends the oldest live ones until fewer than `most` are left (0: no limit), and
    /// deletes the oldest ended ones, so that few are kept. Deletion records no event: no response depends on it.
    pub async fn make_room(&mut self, user: &Locked<User>, most: u32, now: Timestamp) -> Result<()> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let limit = i64::try_from(most.saturating_add(LOOKED_AT)).unwrap_or(i64::MAX);
        let newest: Vec<(SessionId, bool)> = query!(self.conn, c => {
            sessions::table
                .filter(sessions::user_id.eq(user.id))
                .order(sessions::id.desc())
                .select((sessions::id, live!(now)))
                .limit(limit)
                .load(c)
        })?;
        let (live, over): (Vec<_>, Vec<_>) = newest.into_iter().partition(|(_, is_live)| *is_live);
        let ids = |from: &[(SessionId, bool)]| from.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let too_many = live.get(most.saturating_sub(1)..).filter(|rest| most > 0 && !rest.is_empty());
        if let Some(too_many) = too_many.map(ids) {
            let matches = sessions::id.eq_any(too_many).and(sessions::revoked_at.is_null());
            end!(self.conn, RevokedReason::Revoked, now, matches);
        }
        if let Some(oldest) = over.get(KEPT..).filter(|rest| !rest.is_empty()).map(ids) {
            query!(self.conn, c => {
                // Checked again on the row itself: a process whose clock lags may have refreshed it meanwhile.
                let is_over = sessions::revoked_at
                    .is_not_null()
                    .or(sessions::expires_at.le(now))
                    .or(sessions::ends_at.le(now));
                let found = sessions::table.filter(sessions::id.eq_any(&oldest)).filter(is_over);
                diesel::delete(found).execute(c)
            })?;
        }
        Ok(())
    }

    /// When the session of an access token ends; `None` if it has ended or its user is inactive. Takes no reach: reach is derived from it.
    pub async fn standing(&mut self, user_id: UserId, session: SessionId, now: Timestamp) -> Result<Option<Timestamp>> {
        first!(
            self.conn,
            sessions::table
                .inner_join(users::table.on(users::id.eq(sessions::user_id)))
                .filter(sessions::id.eq(session))
                .filter(sessions::user_id.eq(user_id))
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::ends_at.gt(now))
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .select(sessions::ends_at)
        )
    }

    /// Number of live sessions of a locked user.
    pub async fn count_live(&mut self, user: &Locked<User>, now: Timestamp) -> Result<i64> {
        query!(self.conn, c => {
            let of_user = sessions::table.filter(sessions::user_id.eq(user.id));
            of_user.filter(live!(now)).count().get_result(c)
        })
    }

    /// Deletes up to `limit` sessions of a locked user and returns how many.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let matches = sessions::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, sessions: SessionRow of SessionId, matches);
        for session in rows.into_iter().map(Session::from) {
            if session.is_live(now) {
                self.conn.removed(Action::SessionRevoked, session);
            }
        }
        Ok(found)
    }

    /// Deletes up to `limit` expired sessions and returns how many. A session is due at the end of the day on which it expired. Takes no
    /// reach and records no event: no response depends on it.
    pub async fn delete_expired(&mut self, now: Timestamp, limit: i64) -> Result<usize> {
        let expired: Vec<SessionId> = query!(self.conn, c => {
            sessions::table
                .filter(sessions::sweep_at.lt(now))
                .order(sessions::sweep_at)
                .select(sessions::id)
                .limit(limit)
                .load(c)
        })?;
        if expired.is_empty() {
            return Ok(0);
        }
        query!(self.conn, c => {
            // A process whose clock lags may have refreshed one meanwhile.
            let still = sessions::id.eq_any(&expired).and(sessions::sweep_at.lt(now));
            diesel::delete(sessions::table.filter(still)).execute(c)
        })
    }
}
