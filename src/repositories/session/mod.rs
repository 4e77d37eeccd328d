//! Storage of sessions, and their rotation.

mod end;

use diesel::{
    dsl::{case_when, exists},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Span, in_period,
    reach::{first_within, within},
    row, spanned,
};
use crate::{
    db::{
        Conn, execute, query,
        schema::{sessions, users},
    },
    error::Result,
    models::{
        Action, ApiKeyId, Cursor, Generation, OrganizationId, Page, PageRequest, Reach, Revision, RevokedReason,
        Sealed, Session, SessionId, Timestamp, User, UserId, UserState,
        session::{IpText, UserAgent},
    },
    repositories::Locked,
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

/// Repository of sessions.
pub struct SessionRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A session as read for a caller that presents one of its tokens, and whether its user was active.
#[derive(Debug)]
pub struct PresentedSession {
    session: Session,
    user_is_active: bool,
}

impl PresentedSession {
    /// The session as read.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// True if its user is active.
    pub fn user_is_active(&self) -> bool {
        self.user_is_active
    }

    /// True if its current token can be exchanged.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.user_is_active && self.session.is_live(now)
    }
}

impl From<(SessionRow, Option<UserState>)> for PresentedSession {
    fn from((row, state): (SessionRow, Option<UserState>)) -> Self {
        Self { session: row.into(), user_is_active: state == Some(UserState::Active) }
    }
}

/// Sessions that have neither expired nor been revoked.
macro_rules! live {
    ($now:expr) => {
        sessions::revoked_at.is_null().and(sessions::expires_at.gt($now)).and(sessions::ends_at.gt($now))
    };
}

use live;

impl SessionRepository<'_> {
    /// Stores a new session of a locked user, whose last sign-in it is.
    pub async fn insert(&mut self, user: &Locked<User>, session: &Session) -> Result<()> {
        // The user's revision stays the same: no decision depends on it.
        let found = users::table.filter(users::id.eq(user.id));
        execute!(self.conn, diesel::update(found).set(users::last_sign_in_at.eq(Some(session.created_at))))?;
        execute!(self.conn, diesel::insert_into(sessions::table).values(SessionRow::from(session)))?;
        self.conn.created(Action::SessionCreated, session);
        Ok(())
    }

    /// The session with this id.
    pub async fn get(&mut self, reach: &Reach, id: SessionId) -> Result<Option<Session>> {
        let row: Option<SessionRow> = query!(self.conn, c => {
            let query = sessions::table.filter(sessions::id.eq(id));
            let query = query.select(SessionRow::as_select()).into_boxed::<Backend>();
            async { within!(sessions, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Session::from))
    }

    /// A page of a user's live sessions, in order of id.
    pub async fn list_live(
        &mut self,
        reach: &Reach,
        user_id: UserId,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Session>> {
        let rows: Vec<SessionRow> = query!(self.conn, c => {
            let query = sessions::table.filter(sessions::user_id.eq(user_id)).filter(live!(now));
            let query = query.select(SessionRow::as_select()).into_boxed::<Backend>();
            let query = in_period!(query, sessions::created_at, page.created);
            let query = spanned!(query, sessions::id, SessionId, Span::of(page), page.order);
            within!(sessions, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// The session that a presented token names.
    pub async fn get_presented(&mut self, reach: &Reach, id: SessionId) -> Result<Option<PresentedSession>> {
        let found: Option<(SessionRow, Option<UserState>)> = first_within!(
            self.conn,
            sessions,
            sessions::table.filter(sessions::id.eq(id)).select((
                SessionRow::as_select(),
                users::table.filter(users::id.eq(sessions::user_id)).select(users::state).single_value(),
            )),
            reach
        )?;
        Ok(found.map(PresentedSession::from))
    }

    /// Updates a session to `refreshed`, if it is unchanged since it was presented: its current token is spent and replaced by the next.
    ///
    /// # Errors
    /// [`crate::error::Error::Conflict`] if the session has changed since or no longer exists.
    pub async fn rotate(&mut self, presented: PresentedSession, refreshed: &Session) -> Result<()> {
        let before = presented.session;
        // The result of this statement is not awaited, so it must fail if the session is not as expected. If the revision differs, the new
        // one is NULL, which the column forbids. If the session is gone, the row would be inserted for a user that does not exist.
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
        // Indexed columns are written only if they change: SQLite would write the index as well.
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

    /// A batch of a user's sessions, ended or not, in order of id. Takes no reach: the user is the caller's own.
    pub async fn of_person(&mut self, user: UserId, after: Option<SessionId>, limit: i64) -> Result<Vec<Session>> {
        let rows: Vec<SessionRow> = query!(self.conn, c => {
            let of_user = sessions::table.filter(sessions::user_id.eq(user));
            let mut query = of_user.select(SessionRow::as_select()).into_boxed::<Backend>();
            if let Some(after) = after {
                query = query.filter(sessions::id.gt(after));
            }
            query.order(sessions::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Session::from).collect())
    }

    /// A batch of all live sessions within reach, in order of id.
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
                Reach::Everything(_) => query,
                Reach::User(id) => query.filter(sessions::user_id.eq(id)),
                // Members' own resources are not within an organization's reach.
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
