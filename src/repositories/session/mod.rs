//! How sessions are stored, and how they go on.

mod end;

use diesel::{
    dsl::{case_when, exists},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    reach::{first_within, within},
    row,
};
use crate::{
    db::{
        Conn, execute, query,
        schema::{sessions, users},
    },
    error::Result,
    models::{
        Action, ApiKeyId, Cursor, Generation, Locked, OrganizationId, Page, PageRequest, Reach, Revision,
        RevokedReason, Sealed, Session, SessionId, Timestamp, User, UserId, UserState,
        session::{IpText, UserAgent},
    },
};

row!(sessions: SessionRow of Session {
    id: SessionId,
    revision: Revision,
    user_id: UserId,
    generation: Generation,
    secret_sealed: Sealed,
    by_password: bool,
    user_agent: Option<UserAgent>,
    ip_address: Option<IpText>,
    expires_at: Timestamp,
    ends_at: Timestamp,
    sweep_at: Timestamp,
    refreshed_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<RevokedReason>,
    created_at: Timestamp,
    updated_at: Timestamp,
    organization_id: Option<OrganizationId>,
    api_key_id: Option<ApiKeyId>,
});

/// Stores sessions.
pub struct SessionRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A session as it was read for a caller that presents a token of it, and whether its user was active.
#[derive(Debug)]
pub struct Presented {
    session: Session,
    user_is_active: bool,
}

impl Presented {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// True if its user is active.
    pub fn user_is_active(&self) -> bool {
        self.user_is_active
    }

    /// True if its current token can be traded.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.user_is_active && self.session.is_live(now)
    }
}

impl From<(SessionRow, Option<UserState>)> for Presented {
    fn from((row, state): (SessionRow, Option<UserState>)) -> Self {
        Self { session: row.into(), user_is_active: state == Some(UserState::Active) }
    }
}

/// Sessions that have neither expired nor been ended.
macro_rules! live {
    ($now:expr) => {
        sessions::revoked_at.is_null().and(sessions::expires_at.gt($now)).and(sessions::ends_at.gt($now))
    };
}

use live;

impl SessionRepository<'_> {
    /// Stores a new session of a locked user.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn insert(&mut self, _user: &Locked<User>, session: &Session) -> Result<()> {
        execute!(self.conn, diesel::insert_into(sessions::table).values(SessionRow::from(session)))?;
        self.conn.made(Action::SessionCreated, session);
        Ok(())
    }

    /// The session of an id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&mut self, reach: &Reach, id: SessionId) -> Result<Option<Session>> {
        let row: Option<SessionRow> = query!(self.conn, c => {
            let query = sessions::table.filter(sessions::id.eq(id));
            let query = query.select(SessionRow::as_select()).into_boxed::<Backend>();
            async { within!(sessions, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Session::from))
    }

    /// A page of a user's live sessions, in order of id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn list_live(
        &mut self,
        reach: &Reach,
        user_id: UserId,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Session>> {
        let rows: Vec<SessionRow> = query!(self.conn, c => {
            let query = sessions::table.filter(sessions::user_id.eq(user_id)).filter(live!(now));
            let mut query = query.select(SessionRow::as_select()).into_boxed::<Backend>();
            if let Some(cursor) = &page.after {
                query = query.filter(sessions::id.gt(SessionId(cursor.id)));
            }
            within!(sessions, query, reach).order(sessions::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// The session that a presented token names.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_presented(&mut self, reach: &Reach, id: SessionId) -> Result<Option<Presented>> {
        let found: Option<(SessionRow, Option<UserState>)> = first_within!(
            self.conn,
            sessions,
            sessions::table.filter(sessions::id.eq(id)).select((
                SessionRow::as_select(),
                users::table.filter(users::id.eq(sessions::user_id)).select(users::state).single_value(),
            )),
            reach
        )?;
        Ok(found.map(Presented::from))
    }

    /// Makes a session `refreshed`, if it is still as it was presented: what was its current token is spent, and the next one current.
    ///
    /// # Errors
    /// [`crate::error::Error::Conflict`] if the session has changed since or is gone; when the database cannot be used.
    pub async fn rotate(&mut self, presented: Presented, refreshed: &Session) -> Result<()> {
        let before = presented.session;
        // Nothing waits for the answer of this statement, so it has to fail where it does not find what it is to change. A session of
        // another revision gets none, which no row may have. One that is gone would be inserted, for a user that does not exist.
        let nobody = SessionRow { user_id: UserId(Uuid::nil()), ..SessionRow::from(refreshed) };
        let as_presented = sessions::revision.eq(before.revision);
        let revision = case_when(as_presented, sessions::revision + 1).assume_not_null();
        let written = (
            sessions::revision.eq(revision),
            sessions::generation.eq(refreshed.generation),
            sessions::expires_at.eq(refreshed.expires_at),
            sessions::refreshed_at.eq(refreshed.refreshed_at),
            sessions::updated_at.eq(refreshed.updated_at),
        );
        let upsert = diesel::insert_into(sessions::table).values(nobody).on_conflict(sessions::id).do_update();
        // What an index is about is written only where it changes: SQLite would write the index, too.
        if (before.sweep_at, before.organization_id) == (refreshed.sweep_at, refreshed.organization_id) {
            execute!(self.conn, upsert.set(written))?;
        } else {
            let indexed =
                (sessions::sweep_at.eq(refreshed.sweep_at), sessions::organization_id.eq(refreshed.organization_id));
            execute!(self.conn, upsert.set((written, indexed)))?;
        }
        self.conn.changed(Action::SessionRefreshed, before, refreshed);
        Ok(())
    }

    /// A batch of all live sessions within a reach, in order of id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn export(
        &mut self,
        reach: &Reach,
        after: Option<SessionId>,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<Session>> {
        let rows: Vec<SessionRow> = query!(self.conn, c => {
            let live = sessions::table
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::expires_at.gt(now));
            let mut query = live.select(SessionRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything => query,
                Reach::User(id) => query.filter(sessions::user_id.eq(id)),
                // No organization reaches what is its members' own.
                Reach::Organization(_) => query.filter(sessions::id.ne(sessions::id)),
            };
            if let Some(after) = after {
                query = query.filter(sessions::id.gt(after));
            }
            query.order(sessions::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Session::from).collect())
    }
}
