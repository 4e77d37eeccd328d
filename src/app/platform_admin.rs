//! Platform admins.

use super::{App, authority, change::Answer, ending, guards, target::Target};
use crate::{
    db::Conn,
    error::{Entity, Error, Precondition, Result, Taken},
    models::{Action, Call, NewUser, Reach, RevokedReason, Timestamp, User, UserId},
    security::random,
};

/// The reason stored with the revoked keys of a promoted user.
const PROMOTED: &str = "the user became a platform admin";

/// Makes a user a platform admin. A platform admin is left unchanged.
pub async fn grant<A: Answer>(app: &App, call: &Call, target: &Target<UserId>, answer: fn(User) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
            target.check_etag(&*user)?;
            if user.is_platform_admin {
                return Ok(user.into_inner());
            }
            guards::active_user(&user)?;
            authority::platform_admin(tx, &call.caller)?;
            user.is_platform_admin = true;
            tx.users().save(user, Action::UserPlatformAdminGranted, now).await
        },
        answer,
    )
    .await
}

/// Takes platform administration from a user. The invitations that the user sent as a platform admin end. Other users are left
/// unchanged.
pub async fn revoke<A: Answer>(app: &App, call: &Call, target: &Target<UserId>, answer: fn(User) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
            target.check_etag(&*user)?;
            if !user.is_platform_admin {
                return Ok(user.into_inner());
            }
            guards::platform_keeps_an_admin(tx, &user).await?;
            user.is_platform_admin = false;
            let user = tx.users().save(user, Action::UserPlatformAdminRevoked, now).await?;
            ending::with_platform_administration(tx, &user, now).await?;
            Ok(user)
        },
        answer,
    )
    .await
}

/// Creates a platform admin in a transaction of the service itself, without a caller. An existing user with the e-mail is promoted only
/// if `may_promote` is set and the e-mail was verified: otherwise a stranger may have signed up with it. API keys, sessions and mailed
/// tokens that such a user already had end, because they were not issued to a platform admin.
///
/// # Errors
/// [`Taken::UserEmail`] for an existing user without `may_promote`; [`Precondition::UserSuspended`] for a suspended one;
/// [`Precondition::EmailNotVerified`] for one whose e-mail was never verified.
pub async fn create(tx: &mut Conn, new: &NewUser, may_promote: bool, now: Timestamp) -> Result<User> {
    let Some(existing) = tx.users().get_by_email(&Reach::by_system(), new.email.normalized()).await? else {
        let mut user = new.clone().into_user(random::uuid(now).into(), now);
        user.is_platform_admin = true;
        tx.users().insert(&user).await?;
        return Ok(user);
    };
    if !may_promote {
        return Err(Error::Taken(Taken::UserEmail));
    }
    promote(tx, existing.id, now).await
}

/// Makes an existing user a platform admin, and ends the credentials that the user already had.
async fn promote(tx: &mut Conn, id: UserId, now: Timestamp) -> Result<User> {
    let mut user = find(tx.users().lock(&Reach::by_system(), id).await?)?;
    if !user.is_active() {
        return Err(Error::Precondition(Precondition::UserSuspended));
    }
    if user.is_platform_admin {
        return Ok(user.into_inner());
    }
    if user.email_verified_at.is_none() {
        return Err(Error::Precondition(Precondition::EmailNotVerified));
    }
    tx.api_keys().revoke_of_user(&user, PROMOTED, now).await?;
    tx.sessions().end_of_user(user.id, None, RevokedReason::RevokedAll, now).await?;
    ending::mailed_tokens(tx, &user).await?;
    user.is_platform_admin = true;
    tx.users().save(user, Action::UserPlatformAdminGranted, now).await
}

fn find<T>(user: Option<T>) -> Result<T> {
    user.ok_or(Error::NotFound(Entity::User))
}
