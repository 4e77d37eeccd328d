//! Verifying and changing the e-mail of a user with a mailed token.

use super::one_time_token::{self, IssuedToken};
use crate::{
    app::{App, change::Answer, ending, guards, presented_credentials::PresentedCredentials},
    error::{Error, Result},
    models::{Action, Call, Email, Plaintext, Purpose, User, UserId},
};

/// Issues a token that verifies the e-mail of a user.
pub async fn start_verification<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    answer: fn(IssuedToken) -> A,
) -> Result<A> {
    let purpose = Purpose::EmailVerification;
    let minted = &one_time_token::mint(app, purpose);
    app.change(
        call,
        async |tx| {
            let user = guards::lock_active_user(tx, &call.caller, user_id).await?;
            one_time_token::issue(app, tx, &call.caller, &user, purpose, None, minted).await
        },
        answer,
    )
    .await
}

/// Verifies the e-mail of the user to whom a token was mailed. The first verification of an account with credentials requires one of
/// them: that of the caller, or `access_token`, which may be empty.
pub async fn confirm_verification<A: Answer>(
    app: &App,
    call: &Call,
    token: &Plaintext,
    access_token: &str,
    answer: fn(User) -> A,
) -> Result<A> {
    let (caller, purpose, now) = (&call.caller, Purpose::EmailVerification, app.now());
    let credentials = &PresentedCredentials::read(app, caller, access_token, now).await?;
    app.change(
        call,
        async |tx| {
            let presented = one_time_token::parse(app, purpose, token)?;
            let (_, mut user) = one_time_token::redeem(tx, caller, purpose, presented, now).await?;
            if user.email_verified_at.is_none() {
                credentials.open(tx, &user, now).await?;
            }
            ending::mailed_tokens(tx, &user).await?;
            user.email_verified_at = Some(now);
            ending::save_proven(tx, user, Action::UserEmailVerified, now).await
        },
        answer,
    )
    .await
}

/// Issues a token, to be mailed to `email`, that makes that address the e-mail of a user.
pub async fn start_change<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    email: &Email,
    answer: fn(IssuedToken) -> A,
) -> Result<A> {
    let purpose = Purpose::EmailChange;
    let minted = &one_time_token::mint(app, purpose);
    app.change(
        call,
        async |tx| {
            let user = guards::lock_active_user(tx, &call.caller, user_id).await?;
            one_time_token::issue(app, tx, &call.caller, &user, purpose, Some(email), minted).await
        },
        answer,
    )
    .await
}

/// Changes the e-mail of a user to the address to which a token was mailed. An account with credentials requires one of them: that of
/// the caller, or `access_token`, which may be empty. `answer` receives the user and the former e-mail.
pub async fn confirm_change<A: Answer>(
    app: &App,
    call: &Call,
    token: &Plaintext,
    access_token: &str,
    answer: fn((User, String)) -> A,
) -> Result<A> {
    let (caller, purpose, now) = (&call.caller, Purpose::EmailChange, app.now());
    let credentials = &PresentedCredentials::read(app, caller, access_token, now).await?;
    app.change(
        call,
        async |tx| {
            let presented = one_time_token::parse(app, purpose, token)?;
            let (redeemed, mut user) = one_time_token::redeem(tx, caller, purpose, presented, now).await?;
            credentials.open(tx, &user, now).await?;
            ending::mailed_tokens(tx, &user).await?;
            let former_email = user.email.as_str().to_owned();
            let email = Email::parse(redeemed.email.as_str()).map_err(Error::internal)?;
            (user.email, user.email_normalized) = email.into_parts();
            user.email_verified_at = Some(now);
            Ok((ending::save_proven(tx, user, Action::UserEmailChanged, now).await?, former_email))
        },
        answer,
    )
    .await
}
