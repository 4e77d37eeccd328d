//! The tokens of `AuthenticationService` that are mailed and come back once.

use tonic::Request;

use super::{
    authentication::{end_sessions, lock_active},
    authority, called_to_act, ending,
    mailed_again::{self, Mailed},
    proof,
    shown::Shown,
};
use crate::{
    app::App,
    db::Conn,
    error::{Error, Precondition, Result},
    grpc::convert,
    models::{
        Action, Caller, Email, Locked, OneTimeToken, OneTimeTokenId, Plaintext, Purpose, SecretHash, Timestamp, User,
    },
    pb,
    security::token::{mint_one_time_token, read_one_time_token},
};

/// Why keys are revoked with a reset, if the caller asks for it.
const RESET: &str = "the password was reset";

/// The token to be mailed to a user, or to another address that it wants to have: a new one, or the one that was mailed before and
/// still serves, which leaves no event.
async fn start(
    app: &App,
    tx: &mut Conn,
    caller: &Caller,
    user: &User,
    (purpose, action): (Purpose, Action),
    to: Option<&Email>,
    minted: &(OneTimeTokenId, (Plaintext, SecretHash)),
) -> Result<Mailed> {
    let life = match purpose {
        Purpose::PasswordReset => app.policy.password_reset_life,
        Purpose::EmailVerification | Purpose::EmailChange => app.policy.email_token_life,
    };
    authority::account(tx, caller, user)?;
    let mailed = mailed_again::told(app, tx, user, purpose, to, life, minted).await?;
    if mailed.is_new {
        tx.passwords().happened(user, action);
    }
    Ok(mailed)
}

/// The id and the secret of a new token.
fn mint(app: &App, purpose: Purpose) -> (OneTimeTokenId, (Plaintext, SecretHash)) {
    let id = app.new_id(app.now());
    (id, mint_one_time_token(purpose, id))
}

/// Takes a presented token that was mailed, read before.
fn presented(purpose: Purpose, token: &Plaintext) -> Result<(OneTimeTokenId, SecretHash)> {
    read_one_time_token(purpose, token.expose()).ok_or_else(token_rejected)
}

/// Takes a presented token that was mailed, and decides whether the caller may open the account with it. A caller that may not gets the same
/// answer as a caller without a good token.
async fn take(
    tx: &mut Conn,
    caller: &Caller,
    purpose: Purpose,
    read: (OneTimeTokenId, SecretHash),
    now: Timestamp,
) -> Result<(OneTimeToken, Locked<User>)> {
    let (token, user) = tx.one_time_tokens().take(purpose, read, now).await?.ok_or_else(token_rejected)?;
    authority::account(tx, caller, &user).map_err(|_| token_rejected())?;
    Ok((token, user))
}

fn token_rejected() -> Error {
    Error::Precondition(Precondition::OneTimeTokenRejected)
}

/// Answers StartEmailVerification.
pub(super) async fn start_email_verification(
    app: &App,
    request: Request<pb::StartEmailVerificationRequest>,
) -> Result<pb::StartEmailVerificationResponse> {
    let (call, user_id) = called_to_act(request, |r| convert::id_of("user_id", &r.user_id))?;
    let minted = &mint(app, Purpose::EmailVerification);
    let start = app.change(&call, async |tx| {
        let user = lock_active(tx, &call, user_id).await?;
        let what = (Purpose::EmailVerification, Action::UserEmailVerificationStarted);
        let Mailed { token, plaintext, .. } = start(app, tx, &call.caller, &user, what, None, minted).await?;
        Ok(pb::StartEmailVerificationResponse {
            email: token.email.as_str().to_owned(),
            plaintext_token: plaintext.expose().to_owned(),
            expires_at: Some(convert::time(token.expires_at)),
        })
    });
    start.await
}

/// Answers ConfirmEmailVerification.
pub(super) async fn confirm_email_verification(
    app: &App,
    request: Request<pb::ConfirmEmailVerificationRequest>,
) -> Result<pb::ConfirmEmailVerificationResponse> {
    let (call, (mailed, access_token)) =
        called_to_act(request, |r| Ok((convert::authentication::mailed(r.plaintext_token)?, r.access_token)))?;
    let (caller, now) = (&call.caller, app.now());
    let shown = &Shown::read(app, caller, &access_token, now).await?;
    let confirm = app.change(&call, async |tx| {
        let read = presented(Purpose::EmailVerification, &mailed)?;
        let (_, mut user) = take(tx, caller, Purpose::EmailVerification, read, now).await?;
        if user.email_verified_at.is_none() && !shown.is_of(tx, &user, now).await? {
            ending::nothing_is_there(tx, &user, now).await?;
        }
        ending::mailed_tokens(tx, &user).await?;
        user.email_verified_at = Some(now);
        let user = tx.users().save(user, Action::UserEmailVerified, now).await?;
        Ok(pb::ConfirmEmailVerificationResponse { user: Some(user.into()) })
    });
    confirm.await
}

/// Answers StartPasswordReset.
pub(super) async fn start_password_reset(
    app: &App,
    request: Request<pb::StartPasswordResetRequest>,
) -> Result<pb::StartPasswordResetResponse> {
    let (call, email) = called_to_act(request, |r| convert::authentication::start_password_reset(&r))?;
    let minted = &mint(app, Purpose::PasswordReset);
    let start = app.change(&call, async |tx| {
        let found = tx.users().get_by_email(&call.caller.reach(), email.normalized()).await?;
        let user = match found {
            Some(found) => tx.users().lock(&call.caller.reach(), found.id).await?,
            None => None,
        };
        // Under the lock: it may have another e-mail by now.
        let is_meant = |user: &User| {
            let may = authority::may_authenticate(&call.caller, user).is_ok();
            user.is_active() && user.email_normalized == *email.normalized() && may
        };
        let user = user.map(Locked::into_inner).filter(is_meant);
        let Some(user) = user else { return Ok(pb::StartPasswordResetResponse::default()) };
        let what = (Purpose::PasswordReset, Action::UserPasswordResetStarted);
        let Mailed { token, plaintext, .. } = start(app, tx, &call.caller, &user, what, None, minted).await?;
        Ok(pb::StartPasswordResetResponse {
            email: token.email.as_str().to_owned(),
            user: Some(user.into()),
            plaintext_token: plaintext.expose().to_owned(),
            expires_at: Some(convert::time(token.expires_at)),
        })
    });
    start.await
}

/// Answers ConfirmPasswordReset.
pub(super) async fn confirm_password_reset(
    app: &App,
    request: Request<pb::ConfirmPasswordResetRequest>,
) -> Result<pb::ConfirmPasswordResetResponse> {
    let (call, reset) = called_to_act(request, convert::authentication::confirm_password_reset)?;
    if let Some(answer) = app.answered(&call).await? {
        return Ok(answer);
    }
    let (purpose, caller, now) = (Purpose::PasswordReset, &call.caller, app.now());
    let read = presented(purpose, &reset.token)?;
    // Before anything is hashed: a token that is none costs nothing.
    let found = app.db.read(async |conn| {
        let user = conn.one_time_tokens().user_of(purpose, &read, now).await?.ok_or_else(token_rejected)?;
        proof::names_of(conn, &user).await
    });
    proof::acceptable(app, "new_password", &reset.new_password, &found.await?)?;
    let hash = proof::hash(app, &call, reset.new_password).await?;
    let (keep_sessions, revoke_api_keys) = (reset.keep_sessions, reset.revoke_api_keys);
    let confirm = app.change(&call, async |tx| {
        let (_, mut user) = take(tx, caller, purpose, read.clone(), now).await?;
        tx.passwords().forget_all_failures(&user).await?;
        let password = proof::made_here(user.id, hash.clone(), now);
        tx.passwords().replace(&user, &password, Action::UserPasswordReset).await?;
        // The mail has arrived. If that is the first proof of the mailbox, a stranger may have put the address there.
        let (user, keys, sessions) = if user.email_verified_at.is_none() {
            let (keys, sessions) = ending::with_first_proof(tx, &user, now).await?;
            user.email_verified_at = Some(now);
            (tx.users().save(user, Action::UserEmailVerified, now).await?, keys, sessions)
        } else {
            ending::mailed_tokens(tx, &user).await?;
            let keys = if revoke_api_keys { tx.api_keys().revoke_of_user(&user, RESET, now).await? } else { 0 };
            let sessions = if keep_sessions { 0 } else { end_sessions(tx, user.id, None, now).await? };
            (user.into_inner(), keys, sessions)
        };
        Ok(pb::ConfirmPasswordResetResponse {
            user: Some(user.into()),
            ended_sessions: sessions,
            revoked_api_keys: keys,
        })
    });
    confirm.await
}

/// Answers StartEmailChange.
pub(super) async fn start_email_change(
    app: &App,
    request: Request<pb::StartEmailChangeRequest>,
) -> Result<pb::StartEmailChangeResponse> {
    let (call, (user_id, email)) = called_to_act(request, |r| convert::authentication::start_email_change(&r))?;
    let minted = &mint(app, Purpose::EmailChange);
    let start = app.change(&call, async |tx| {
        let user = lock_active(tx, &call, user_id).await?;
        let what = (Purpose::EmailChange, Action::UserEmailChangeStarted);
        let Mailed { token, plaintext, .. } = start(app, tx, &call.caller, &user, what, Some(&email), minted).await?;
        Ok(pb::StartEmailChangeResponse {
            email: token.email.as_str().to_owned(),
            plaintext_token: plaintext.expose().to_owned(),
            expires_at: Some(convert::time(token.expires_at)),
        })
    });
    start.await
}

/// Answers ConfirmEmailChange.
pub(super) async fn confirm_email_change(
    app: &App,
    request: Request<pb::ConfirmEmailChangeRequest>,
) -> Result<pb::ConfirmEmailChangeResponse> {
    let (call, (mailed, access_token)) =
        called_to_act(request, |r| Ok((convert::authentication::mailed(r.plaintext_token)?, r.access_token)))?;
    let (caller, now) = (&call.caller, app.now());
    let shown = &Shown::read(app, caller, &access_token, now).await?;
    let confirm = app.change(&call, async |tx| {
        let read = presented(Purpose::EmailChange, &mailed)?;
        let (mailed_to, mut user) = take(tx, caller, Purpose::EmailChange, read, now).await?;
        if !shown.is_of(tx, &user, now).await? {
            ending::nothing_is_there(tx, &user, now).await?;
        }
        ending::mailed_tokens(tx, &user).await?;
        let former_email = user.email.as_str().to_owned();
        let email = Email::parse(mailed_to.email.as_str()).map_err(Error::internal)?;
        (user.email, user.email_normalized) = email.into_parts();
        user.email_verified_at = Some(now);
        let user = tx.users().save(user, Action::UserEmailChanged, now).await?;
        Ok(pb::ConfirmEmailChangeResponse { user: Some(user.into()), former_email })
    });
    confirm.await
}
