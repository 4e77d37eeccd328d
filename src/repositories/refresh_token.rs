//! How refresh tokens are stored.

use diesel::{
    dsl::{case_when, exists},
    prelude::*,
};
use diesel_async::RunQueryDsl;

use super::{
    reach::{first_within, within},
    row,
};
use crate::{
    db::{
        Conn, execute, query,
        schema::{refresh_tokens, users},
    },
    error::Result,
    models::{
        Action, ApiKeyId, Cursor, FamilyId, OrganizationId, Page, PageRequest, Reach, RefreshToken, RefreshTokenId,
        Revision, RevokedReason, Sealed, SecretHash, Timestamp, UserId, UserState,
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
    organization_id: Option<OrganizationId>,
    api_key_id: Option<ApiKeyId>,
});

/// Stores refresh tokens.
pub struct RefreshTokenRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

/// A token as it was read for whoever presents it, and whether its user was active.
#[derive(Debug)]
pub struct Presented {
    token: RefreshToken,
    user_is_active: bool,
}

impl Presented {
    /// The token.
    pub fn token(&self) -> &RefreshToken {
        &self.token
    }

    /// True if its user is active.
    pub fn user_is_active(&self) -> bool {
        self.user_is_active
    }

    /// True if it can be traded for its successor.
    pub fn is_tradable(&self, now: Timestamp) -> bool {
        self.user_is_active && self.token.rotated_at.is_none() && self.token.is_live(now)
    }
}

impl From<(RefreshTokenRow, Option<UserState>)> for Presented {
    fn from((row, state): (RefreshTokenRow, Option<UserState>)) -> Self {
        Self { token: row.into(), user_is_active: state == Some(UserState::Active) }
    }
}

/// The tokens of a user's families that are neither traded nor revoked.
macro_rules! current_of {
    ($user_id:expr, $families:expr) => {
        refresh_tokens::user_id
            .eq($user_id)
            .and(refresh_tokens::family_id.eq_any($families))
            .and(refresh_tokens::revoked_at.is_null())
            .and(refresh_tokens::rotated_at.is_null())
    };
}

/// The current tokens of a user's sessions that have not expired.
macro_rules! live_of {
    ($user_id:expr, $now:expr) => {
        refresh_tokens::user_id
            .eq($user_id)
            .and(refresh_tokens::revoked_at.is_null())
            .and(refresh_tokens::rotated_at.is_null())
            .and(refresh_tokens::expires_at.gt($now))
            .and(refresh_tokens::family_expires_at.gt($now))
    };
}

pub(super) use {current_of, live_of};

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

    /// The successor of a traded token, if it is neither traded nor revoked itself.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_current_successor(&mut self, traded: &Presented) -> Result<Option<RefreshToken>> {
        let token = &traded.token;
        let row: Option<RefreshTokenRow> = query!(self.conn, c => {
            let current = refresh_tokens::table.filter(current_of!(token.user_id, [token.family_id]));
            let query = current.filter(refresh_tokens::parent_id.eq(token.id)).select(RefreshTokenRow::as_select());
            async { query.get_result(c).await.optional() }
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
            let query = refresh_tokens::table.filter(live_of!(user_id, now));
            let mut query = query.select(RefreshTokenRow::as_select()).into_boxed::<Backend>();
            if let Some(cursor) = &page.after {
                query = query.filter(refresh_tokens::id.gt(RefreshTokenId(cursor.id)));
            }
            within!(refresh_tokens, query, reach).order(refresh_tokens::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor { text: None, id: row.id.0 }))
    }

    /// The token of an id and a secret's hash, as it is presented.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_presented(
        &mut self,
        reach: &Reach,
        id: RefreshTokenId,
        hash: &SecretHash,
    ) -> Result<Option<Presented>> {
        let found: Option<(RefreshTokenRow, Option<UserState>)> = first_within!(
            self.conn,
            refresh_tokens,
            refresh_tokens::table
                .filter(refresh_tokens::id.eq(id))
                .filter(refresh_tokens::token_hash.eq(hash.clone()))
                .select((
                    RefreshTokenRow::as_select(),
                    users::table.filter(users::id.eq(refresh_tokens::user_id)).select(users::state).single_value(),
                )),
            reach
        )?;
        Ok(found.map(Presented::from))
    }

    /// Trades a token for its successor, if it is still as it was presented. `sealed` is the successor's secret, if it may be told
    /// again: then that of the token itself is told no more.
    ///
    /// # Errors
    /// [`crate::error::Error::Conflict`] if the token has changed since; when the database cannot be used.
    pub async fn rotate(
        &mut self,
        presented: Presented,
        successor: &RefreshToken,
        sealed: Option<Sealed>,
        now: Timestamp,
    ) -> Result<()> {
        let token = presented.token;
        if let (Some(_), Some(parent)) = (&sealed, token.parent_id) {
            let parent = refresh_tokens::table.filter(refresh_tokens::id.eq(parent));
            execute!(self.conn, diesel::update(parent).set(refresh_tokens::successor_sealed.eq(None::<Sealed>)))?;
        }
        // Not a condition of the statement: no row would be changed, and the rest done nevertheless. No revision is no row.
        let as_presented = refresh_tokens::revision.eq(token.revision);
        let revision = case_when(as_presented, refresh_tokens::revision + 1).assume_not_null();
        let trade = diesel::update(refresh_tokens::table.filter(refresh_tokens::id.eq(token.id))).set((
            refresh_tokens::rotated_at.eq(Some(now)),
            refresh_tokens::successor_sealed.eq(sealed),
            refresh_tokens::updated_at.eq(now),
            refresh_tokens::revision.eq(revision),
        ));
        execute!(self.conn, trade)?;
        execute!(self.conn, diesel::insert_into(refresh_tokens::table).values(RefreshTokenRow::from(successor)))?;
        self.conn.changed(Action::RefreshTokenRotated, token, successor);
        Ok(())
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
}
