//! Users.

use super::{
    App, authority,
    change::Answer,
    dry_run::{DryRun, Preview},
    ending, erasure, guards,
    target::Target,
};
use crate::{
    error::{Entity, Error, Result},
    models::{
        Action, Call, Caller, Email, Impact, NewUser, Page, PageRequest, User, UserChanges, UserFilter, UserId,
        UserState,
    },
};

/// The reason stored with the revoked keys of a restored user.
const RESTORED: &str = "the user was deleted and restored";

/// Creates a user.
pub async fn create<A: Answer>(app: &App, call: &Call, new: NewUser, answer: fn(User) -> A) -> Result<A> {
    let now = app.now();
    let user = new.into_user(app.new_id(now), now);
    app.change(
        call,
        async |tx| {
            tx.users().insert(&user).await?;
            Ok(user.clone())
        },
        answer,
    )
    .await
}

/// Gets a user by id.
pub async fn get(app: &App, caller: &Caller, id: UserId) -> Result<User> {
    find(app.users.get(caller.reach(), id).await?)
}

/// Gets a user by e-mail, however it is spelled.
pub async fn get_by_email(app: &App, caller: &Caller, email: &Email) -> Result<User> {
    find(app.db.read(async |conn| conn.users().get_by_email(&caller.reach(), email.normalized()).await).await?)
}

/// Gets the users of these ids that the caller can see, in any order.
pub async fn get_many(app: &App, caller: &Caller, ids: &[UserId]) -> Result<Vec<User>> {
    app.db.read(async |conn| conn.users().get_many(&caller.reach(), ids).await).await
}

/// Lists a page of users.
pub async fn list(app: &App, caller: &Caller, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
    guards::may_list(caller, &filter.state)?;
    let list = app.db.scan(async |conn| {
        if let Some(id) = filter.organization_id {
            guards::visible_organization(conn, caller, id).await?;
        }
        conn.users().list(&caller.reach(), filter, page).await
    });
    list.await
}

/// Updates the fields of a user that `changes` names. A new e-mail is unverified, and ends the tokens mailed to the former one.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    changes: &UserChanges,
    answer: fn(User) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, caller, target.id).await?;
            if caller.user_id() != Some(user.id) {
                guards::platform_admin(caller)?;
            }
            if changes.email.as_ref().is_some_and(|email| *email.normalized() != user.email_normalized) {
                // Other callers must prove the new mailbox: see AuthenticationService.StartEmailChange.
                guards::platform_admin(caller)?;
                authority::account(tx, caller, &user)?;
                ending::mailed_tokens(tx, &user).await?;
            }
            target.check_etag(&*user)?;
            user.apply(changes.clone());
            tx.users().save(user, Action::UserUpdated, now).await
        },
        answer,
    )
    .await
}

/// Suspends a user. Its sessions, the invitations it sent and the tokens mailed to it end. A suspended user is left unchanged.
pub async fn suspend<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    answer: fn((User, Option<Preview>)) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut dry_run = DryRun::of(call);
            let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
            target.check_etag(&*user)?;
            dry_run.rule(guards::platform_keeps_an_admin(tx, &user).await)?;
            if user.state == UserState::Suspended {
                let preview = dry_run.preview(async { Ok(Impact::default()) }).await?;
                return Ok((user.into_inner(), preview));
            }
            // Suspension is for emergencies: owning an organization does not protect from it.
            let organizations_without_owner = guards::orphaned_without(tx, &user).await?;
            user.state = UserState::Suspended;
            let count = async {
                let impact = tx.users().impact(&user, now).await?;
                Ok(Impact { organizations_without_owner, ..impact })
            };
            let preview = dry_run.preview(count).await?;
            if preview.is_some() {
                return Ok((user.into_inner(), preview));
            }
            let user = tx.users().save(user, Action::UserSuspended, now).await?;
            ending::with_user(tx, &user, now).await?;
            Ok((user, None))
        },
        answer,
    )
    .await
}

/// Reactivates a suspended user. An active one is left unchanged.
pub async fn reactivate<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    answer: fn(User) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
            target.check_etag(&*user)?;
            if user.state == UserState::Active {
                return Ok(user.into_inner());
            }
            authority::standing(tx, &call.caller, &user)?;
            user.state = UserState::Active;
            tx.users().save(user, Action::UserReactivated, now).await
        },
        answer,
    )
    .await
}

/// Deletes a user, which can be restored for a while. Its sessions, the invitations it sent and the tokens mailed to it end.
pub async fn delete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    answer: fn((User, Option<Preview>)) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut dry_run = DryRun::of(call);
            let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
            target.check_etag(&*user)?;
            dry_run.rule(guards::platform_keeps_an_admin(tx, &user).await)?;
            dry_run.rule(guards::no_organization_loses_its_last_owner(tx, &user).await)?;
            user.deleted_at = Some(now);
            let preview = dry_run.preview(tx.users().impact(&user, now)).await?;
            if preview.is_some() {
                return Ok((user.into_inner(), preview));
            }
            let user = tx.users().save(user, Action::UserDeleted, now).await?;
            ending::with_user(tx, &user, now).await?;
            Ok((user, None))
        },
        answer,
    )
    .await
}

/// Restores a deleted user. Its API keys are revoked unless the call restores them. A user that is not deleted is left unchanged.
pub async fn undelete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    restore_api_keys: bool,
    answer: fn(User) -> A,
) -> Result<A> {
    let now = app.now();
    let restorable_since = now.before(app.policy.restore_window);
    app.change(
        call,
        async |tx| {
            let mut user = find(tx.users().lock_including_deleted(&call.caller.reach(), target.id).await?)?;
            match user.deleted_at {
                None => return Ok(user.into_inner()),
                Some(deleted_at) if deleted_at < restorable_since => return find(None),
                Some(_) => {}
            }
            authority::standing(tx, &call.caller, &user)?;
            target.check_etag(&*user)?;
            if !restore_api_keys {
                tx.api_keys().revoke_of_user(&user, RESTORED, now).await?;
            }
            user.deleted_at = None;
            tx.users().save(user, Action::UserUndeleted, now).await
        },
        answer,
    )
    .await
}

/// Erases a user; with `sole_organizations` also the organizations that have no other member. The call is answered once what is left to
/// erase is stored.
pub async fn purge<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    sole_organizations: bool,
    answer: fn(()) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let user = find(tx.users().lock_including_deleted(&caller.reach(), target.id).await?)?;
            target.check_etag(&*user)?;
            guards::platform_keeps_an_admin(tx, &user).await?;
            erasure::purge(app, tx, user, sole_organizations, now).await
        },
        answer,
    )
    .await
}

fn find<T>(user: Option<T>) -> Result<T> {
    user.ok_or(Error::NotFound(Entity::User))
}
