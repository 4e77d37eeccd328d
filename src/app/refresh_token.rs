//! Refresh tokens, and the sessions that they belong to.

use super::{
    App, authority,
    change::Answer,
    guards,
    session::{self, IssuedSession, RefreshAttempt},
};
use crate::{
    error::Result,
    models::{Call, NewSession, Plaintext, RevokedReason},
};

/// Starts a session for a user without proof of the user's identity.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewSession, answer: fn(IssuedSession) -> A) -> Result<A> {
    let now = app.now();
    let issued = session::create(app, call, new, now);
    app.change(
        call,
        async |tx| {
            let user = guards::lock_own_user(tx, &call.caller, new.user_id).await?;
            guards::active_user(&user)?;
            authority::session(tx, &call.caller, &user)?;
            session::start(app, tx, &user, &issued.session, now).await?;
            Ok(issued.clone())
        },
        answer,
    )
    .await
}

/// Exchanges a refresh token for the next one.
pub async fn rotate<A: Answer>(
    app: &App,
    call: &Call,
    presented: &Plaintext,
    answer: fn(IssuedSession) -> A,
) -> Result<A> {
    let now = app.now();
    let attempt = &RefreshAttempt::new(app, call, presented, None);
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

/// Ends the session of a refresh token, whether or not it has ended before.
pub async fn revoke<A: Answer>(app: &App, call: &Call, presented: &Plaintext, answer: fn(()) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let session = session::find_by_token(app, tx, &call.caller.reach(), presented).await?;
            let session = session.ok_or_else(session::token_rejected)?;
            tx.sessions().end(&session, RevokedReason::Revoked, now).await.map(drop)
        },
        answer,
    )
    .await
}
