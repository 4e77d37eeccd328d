//! Refresh tokens, and the sessions that they belong to.

use super::{
    App, authority,
    change::Answer,
    ending, guards,
    session::{self, IssuedSession, RefreshAttempt},
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result},
    models::{
        Call, Caller, Locked, NewSession, Page, PageRequest, Plaintext, RevokedReason, Session, SessionId, User, UserId,
    },
};

/// The two ways to name a session that is to end.
#[derive(Debug)]
pub enum RefreshTokenKey {
    /// By its id.
    Id(SessionId),
    /// By one of its refresh tokens.
    Secret(Plaintext),
}

/// Starts a session of a user without a proof of the user's.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewSession, answer: fn(IssuedSession) -> A) -> Result<A> {
    let now = app.now();
    let (session, refresh_token) = session::create(app, call, new, now);
    app.change(
        call,
        async |tx| {
            let user = lock_own(tx, &call.caller, new.user_id).await?;
            guards::active_user(&user)?;
            authority::session(tx, &call.caller, &user)?;
            session::start(app, tx, &user, &session, now).await?;
            let (session, refresh_token) = (session.clone(), refresh_token.clone());
            Ok(IssuedSession { session, refresh_token, access_token: None, standing: None })
        },
        answer,
    )
    .await
}

/// Lists a page of the live sessions of a user.
pub async fn list(app: &App, caller: &Caller, user_id: UserId, page: &PageRequest) -> Result<Page<Session>> {
    let now = app.now();
    let list = app.db.scan(async |conn| {
        let user = guards::own_user(conn, caller, user_id).await?;
        conn.refresh_tokens().list_live(&caller.reach(), user.id, now, page).await
    });
    list.await
}

/// Exchanges a refresh token for the next one.
pub async fn rotate<A: Answer>(
    app: &App,
    call: &Call,
    presented: &Plaintext,
    answer: fn(IssuedSession) -> A,
) -> Result<A> {
    let now = app.now();
    let attempt = &RefreshAttempt::new(call, presented, None);
    let prefetched = &session::prefetch(app, attempt, now).await?;
    app.change_or_refuse(
        call,
        async |tx| {
            authority::proven_session(tx);
            let issued = session::refresh(app, tx, attempt, prefetched, now).await?;
            Ok(issued.ok_or_else(session::token_rejected))
        },
        answer,
    )
    .await
}

/// Ends a session, whether or not it has ended before.
pub async fn revoke<A: Answer>(app: &App, call: &Call, key: &RefreshTokenKey, answer: fn(()) -> A) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let session = match key {
                RefreshTokenKey::Id(id) => tx.refresh_tokens().get(&caller.reach(), *id).await?,
                RefreshTokenKey::Secret(secret) => session::find_by_token(app, tx, &caller.reach(), secret).await?,
            };
            let session = session.ok_or(Error::NotFound(Entity::RefreshToken))?;
            tx.refresh_tokens().end(&session, RevokedReason::Revoked, now).await.map(drop)
        },
        answer,
    )
    .await
}

/// Ends the sessions of a user except one, and the tokens that were mailed to the user. `answer` gets how many sessions ended.
pub async fn revoke_all<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    except: Option<SessionId>,
    answer: fn(i64) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let user = lock_own(tx, caller, user_id).await?;
            ending::mailed_tokens(tx, &user).await?;
            session::end_all(tx, user.id, except, now).await
        },
        answer,
    )
    .await
}

/// Locks a user, so that no session of the user starts meanwhile. Refuses a caller that can see the user but is neither that user nor a
/// platform admin.
async fn lock_own(tx: &mut Conn, caller: &Caller, id: UserId) -> Result<Locked<User>> {
    let user = guards::lock_user(tx, caller, id).await?;
    guards::is_own(caller, id)?;
    Ok(user)
}
