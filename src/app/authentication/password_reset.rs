//! Resetting a forgotten password with a mailed token.

use super::{
    one_time_token::{self, IssuedToken},
    password::Revocations,
};
use crate::{
    app::{App, authority, change::Answer, ending, proof, session},
    error::Result,
    models::{Action, Call, Email, Plaintext, Purpose, User},
    repositories::Locked,
};

/// The reason stored with API keys that are revoked together with a reset.
const RESET: &str = "the password was reset";

/// The confirmation of a password reset.
pub struct PasswordReset {
    /// The token that was mailed.
    pub token: Plaintext,
    /// The new password.
    pub new_password: Plaintext,
    /// Whether the user's sessions are kept.
    pub keep_sessions: bool,
    /// Whether the user's API keys are revoked.
    pub revoke_api_keys: bool,
}

/// Issues a token that resets the password of the active user with an e-mail. `answer` receives `None` if there is no such user whom the
/// caller may authenticate.
pub async fn start<A: Answer>(
    app: &App,
    call: &Call,
    email: &Email,
    answer: fn(Option<(User, IssuedToken)>) -> A,
) -> Result<A> {
    let purpose = Purpose::PasswordReset;
    let minted = &one_time_token::mint(app, purpose);
    app.change(
        call,
        async |tx| {
            let found = tx.users().get_by_email(&call.caller.reach(), email.normalized()).await?;
            let user = match found {
                Some(found) => tx.users().lock(&call.caller.reach(), found.id).await?,
                None => None,
            };
            // Checked under the lock, because the user's e-mail may have changed.
            let may_reset = |user: &User| {
                let may = authority::may_authenticate(&call.caller, user).is_ok();
                user.is_active() && user.email_normalized == *email.normalized() && may
            };
            let user = user.map(Locked::into_inner).filter(may_reset);
            let Some(user) = user else { return Ok(None) };
            let issued = one_time_token::issue(app, tx, &call.caller, &user, purpose, None, minted).await?;
            Ok(Some((user, issued)))
        },
        answer,
    )
    .await
}

/// Sets a new password for the user to whom a token was mailed. The first proof of the mailbox also verifies the e-mail and ends all
/// existing credentials.
pub async fn confirm<A: Answer>(
    app: &App,
    call: &Call,
    reset: PasswordReset,
    answer: fn((User, Revocations)) -> A,
) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let (purpose, caller, now) = (Purpose::PasswordReset, &call.caller, app.now());
    let presented = one_time_token::parse(app, purpose, &reset.token)?;
    // Before any hashing, so that an invalid token costs nothing.
    let names = app.db.read(async |conn| {
        let user = conn.one_time_tokens().user_of(purpose, &presented, now).await?;
        proof::names_of(conn, &user.ok_or_else(one_time_token::rejected)?).await
    });
    proof::acceptable(app, "new_password", &reset.new_password, &names.await?)?;
    let hash = proof::hash(app, call, reset.new_password).await?;
    let (keep_sessions, revoke_api_keys) = (reset.keep_sessions, reset.revoke_api_keys);
    app.change(
        call,
        async |tx| {
            let (_, mut user) = one_time_token::redeem(tx, caller, purpose, presented.clone(), now).await?;
            tx.passwords().forget_all_failures(&user).await?;
            let password = proof::new_password(user.id, hash.clone(), now);
            tx.passwords().replace(&user, &password, Action::UserPasswordReset).await?;
            // The mail has arrived. If this is the first proof of the mailbox, a stranger may have created the account.
            if user.email_verified_at.is_none() {
                let (api_keys, sessions) = ending::with_first_password(tx, &user, now).await?;
                user.email_verified_at = Some(now);
                let user = ending::save_proven(tx, user, Action::UserEmailVerified, now).await?;
                return Ok((user, Revocations { sessions, api_keys }));
            }
            ending::mailed_tokens(tx, &user).await?;
            let api_keys = if revoke_api_keys { tx.api_keys().revoke_of_user(&user, RESET, now).await? } else { 0 };
            let sessions = if keep_sessions { 0 } else { session::end_all(tx, user.id, None, now).await? };
            Ok((user.into_inner(), Revocations { sessions, api_keys }))
        },
        answer,
    )
    .await
}
