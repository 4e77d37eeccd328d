//! Storage of one-time tokens.
//!
//! No function here takes a reach: each works on a locked user, or on the user of a token that was presented.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{delete_up_to, row, user::UserRow};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{one_time_tokens, users},
    },
    error::Result,
    models::{
        NormalizedEmail, OneTimeToken, OneTimeTokenId, Purpose, Sealed, SecretHash, Timestamp, User, UserId,
        email::GivenEmail,
    },
    repositories::Locked,
};

row!(one_time_tokens: OneTimeTokenRow of OneTimeToken {
    id: OneTimeTokenId,
    user_id: UserId,
    purpose: Purpose,
    token_hash: SecretHash,
    user_email_normalized: NormalizedEmail,
    email: GivenEmail,
    expires_at: Timestamp,
    created_at: Timestamp,
    plaintext_sealed: Option<Sealed>,
});

/// Repository of one-time tokens. Methods take no reach: a token's holder received it at the user's e-mail address.
pub struct OneTimeTokenRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl OneTimeTokenRepository<'_> {
    /// Stores a new token of a locked user and replaces one of the same purpose.
    pub async fn replace(&mut self, token: &OneTimeToken) -> Result<()> {
        let of_its_kind = one_time_tokens::table
            .filter(one_time_tokens::user_id.eq(token.user_id))
            .filter(one_time_tokens::purpose.eq(token.purpose));
        query!(self.conn, c => diesel::delete(of_its_kind).execute(c))?;
        execute!(self.conn, diesel::insert_into(one_time_tokens::table).values(OneTimeTokenRow::from(token)))
    }

    /// A locked user's token of this purpose, usable or not.
    pub async fn of_kind(&mut self, user: &User, purpose: Purpose) -> Result<Option<OneTimeToken>> {
        let row: Option<OneTimeTokenRow> = query!(self.conn, c => async {
            one_time_tokens::table
                .filter(one_time_tokens::user_id.eq(user.id))
                .filter(one_time_tokens::purpose.eq(purpose))
                .select(OneTimeTokenRow::as_select())
                .get_result(c)
                .await
                .optional()
        })?;
        Ok(row.map(OneTimeToken::from))
    }

    /// The user of a token, if the token is usable. Does not consume it.
    pub async fn user_of(
        &mut self,
        purpose: Purpose,
        (id, hash): &(OneTimeTokenId, SecretHash),
        now: Timestamp,
    ) -> Result<Option<User>> {
        let found: Option<(OneTimeTokenRow, UserRow)> = query!(self.conn, c => async {
            one_time_tokens::table
                .inner_join(users::table.on(users::id.eq(one_time_tokens::user_id)))
                .filter(one_time_tokens::id.eq(id))
                .filter(one_time_tokens::purpose.eq(purpose))
                .filter(users::deleted_at.is_null())
                .select((OneTimeTokenRow::as_select(), UserRow::as_select()))
                .get_result(c)
                .await
                .optional()
        })?;
        let found = found.map(|(token, user)| (OneTimeToken::from(token), User::from(user)));
        let usable = found.filter(|(token, user)| token.token_hash.matches(hash) && token.is_usable(user, now));
        Ok(usable.map(|(_, user)| user))
    }

    /// Consumes a token and locks its user: of several concurrent callers, one gets it. `None` if the token is unknown, has another secret
    /// or purpose, or is no longer usable.
    pub async fn take(
        &mut self,
        purpose: Purpose,
        (id, hash): (OneTimeTokenId, SecretHash),
        now: Timestamp,
    ) -> Result<Option<(OneTimeToken, Locked<User>)>> {
        let owner: Option<(UserId, SecretHash)> = query!(self.conn, c => async {
            one_time_tokens::table
                .filter(one_time_tokens::id.eq(id))
                .filter(one_time_tokens::purpose.eq(purpose))
                .select((one_time_tokens::user_id, one_time_tokens::token_hash))
                .get_result(c)
                .await
                .optional()
        })?;
        let Some((owner, _)) = owner.filter(|(_, stored)| stored.matches(&hash)) else { return Ok(None) };
        let user: Option<UserRow> = query!(self.conn, c => {
            let user = users::table.filter(users::id.eq(owner)).filter(users::deleted_at.is_null());
            async move { ForUpdate(user.select(UserRow::as_select())).get_result(c).await.optional() }
        })?;
        let Some(user) = user.map(|row| Locked::new(User::from(row))) else { return Ok(None) };
        // Read under the user's lock, which every transaction that consumes or creates one of the user's tokens holds.
        let token: Option<OneTimeTokenRow> = query!(self.conn, c => async {
            one_time_tokens::table.find(id).select(OneTimeTokenRow::as_select()).get_result(c).await.optional()
        })?;
        let Some(token) = token.map(OneTimeToken::from).filter(|token| token.is_usable(&user, now)) else {
            return Ok(None);
        };
        execute!(self.conn, diesel::delete(one_time_tokens::table.filter(one_time_tokens::id.eq(id))))?;
        Ok(Some((token, user)))
    }

    /// Deletes all tokens of a locked user. No event: nothing shown of the user changes.
    pub async fn delete_of_user(&mut self, user: &User) -> Result<()> {
        execute!(self.conn, diesel::delete(one_time_tokens::table.filter(one_time_tokens::user_id.eq(user.id))))
    }

    /// Deletes up to `limit` tokens that expired before `before` and returns how many. Takes no reach and records no event: only the
    /// service itself calls it, and no response depends on it.
    pub async fn delete_expired(&mut self, before: Timestamp, limit: i64) -> Result<usize> {
        let matches = one_time_tokens::expires_at.lt(before);
        let (found, _) = delete_up_to!(limit, self.conn, one_time_tokens: OneTimeTokenRow of OneTimeTokenId, matches);
        Ok(found)
    }
}
