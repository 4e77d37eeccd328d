//! Users.

use super::{
    App, authority,
    change::Answer,
    dry_run::{DryRun, Preview},
    ending, erasure, guards,
    presented_credentials::PresentedCredentials,
    target::Target,
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result},
    models::{
        Action, Call, Caller, Email, ExternalId, Impact, NewUser, NormalizedEmail, OauthAccount, Page, PageRequest,
        Seen, Timestamp, User, UserChanges, UserFilter, UserId, UserRestoration, UserState,
    },
    repositories::Locked,
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
pub async fn get(app: &App, caller: &Caller, id: UserId) -> Result<Seen<User>> {
    find(app.users.get(caller.reach(), id).await?).map(|user| caller.sees(user))
}

/// Gets a user by e-mail, however it is spelled.
pub async fn get_by_email(app: &App, caller: &Caller, email: &Email) -> Result<Seen<User>> {
    let found = app.db.read(async |conn| conn.users().get_by_email(&caller.reach(), email.normalized()).await).await?;
    find(found).map(|user| caller.sees(user))
}

/// Gets a user by its id in another system.
pub async fn get_by_external_id(app: &App, caller: &Caller, id: &ExternalId) -> Result<Seen<User>> {
    let found = app.db.read(async |conn| conn.users().get_by_external_id(&caller.reach(), id).await).await?;
    find(found).map(|user| caller.sees(user))
}

/// Gets the users with these ids, these addresses or these ids in another system that the caller can see, in any order.
pub async fn get_many(
    app: &App,
    caller: &Caller,
    ids: &[UserId],
    emails: &[NormalizedEmail],
    external_ids: &[ExternalId],
) -> Result<Vec<Seen<User>>> {
    let reach = &caller.reach();
    let read = app.db.read(async |conn| {
        let mut found = Vec::new();
        if !ids.is_empty() {
            found = conn.users().get_many(reach, ids).await?;
        }
        if !emails.is_empty() {
            found.extend(conn.users().get_many_by_email(reach, emails).await?);
        }
        if !external_ids.is_empty() {
            found.extend(conn.users().get_many_by_external_id(reach, external_ids).await?);
        }
        Ok(found)
    });
    Ok(read.await?.into_iter().map(|user| caller.sees(user)).collect())
}

/// Lists a page of users.
pub async fn list(app: &App, caller: &Caller, filter: &UserFilter, page: &PageRequest) -> Result<Page<Seen<User>>> {
    guards::may_list(caller, &filter.state)?;
    guards::may_filter(caller, &filter.metadata)?;
    // The job of the index moves what a search has not read yet.
    let list = app.db.scan_consistently(filter.fragment.is_some(), async |conn| {
        if let Some(id) = filter.organization_id {
            guards::visible_organization(conn, caller, id).await?;
        }
        conn.users().list(&caller.reach(), filter, page).await
    });
    Ok(list.await?.map(|user| caller.sees(user)))
}

/// Updates the fields of a user that `changes` names. A new e-mail is unverified, and ends the tokens mailed to the former one. `access_token`
/// is one of the user's, or empty: it matters where a platform admin vouches for an e-mail that was never proven.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    changes: &UserChanges,
    access_token: &str,
    answer: fn(Seen<User>) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let presented = &PresentedCredentials::read(app, caller, access_token, now).await?;
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, caller, target.id).await?;
            if caller.user_id() != Some(user.id) || changes.are_of_the_platform() {
                guards::platform_admin(caller)?;
            }
            if user.has_other_email(changes.email.as_ref()) {
                // Other callers must prove the new mailbox: see AuthenticationService.StartEmailChange.
                guards::platform_admin(caller)?;
                authority::account(tx, caller, &user)?;
                ending::mailed_tokens(tx, &user).await?;
            }
            if changes.email_verified.is_some() {
                guards::platform_admin(caller)?;
            }
            target.check_etag(&*user)?;
            user.apply(changes.clone(), now)?;
            if user.before().email_verified_at.is_none() && user.email_verified_at.is_some() {
                vouch(tx, caller, &user, presented, now).await?;
            }
            Ok(caller.sees(ending::save_proven(tx, user, Action::UserUpdated, now).await?))
        },
        answer,
    )
    .await
}

/// Accepts the word of a platform admin as the first proof of a user's e-mail. Credentials that a stranger may have created before are
/// removed, unless the call has presented a credential of the account.
async fn vouch(
    tx: &mut Conn,
    caller: &Caller,
    user: &Locked<User>,
    presented: &PresentedCredentials,
    now: Timestamp,
) -> Result<()> {
    authority::account(tx, caller, user)?;
    // A platform admin that vouches for itself does so with a credential of the account.
    if caller.user_id() == Some(user.id) || presented.is_of(tx, user, now).await? {
        return ending::mailed_tokens(tx, user).await;
    }
    ending::with_first_proof(tx, user, now).await
}

/// Suspends a user. Its sessions, the invitations it sent and the tokens mailed to it end. A suspended user is left unchanged.
pub async fn suspend<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    answer: fn((User, Option<Preview>)) -> A,
) -> Result<A> {
    app.change(call, async |tx| suspend_in(app, tx, call, target).await, answer).await
}

/// Suspends a user in a transaction.
pub(super) async fn suspend_in(
    app: &App,
    tx: &mut Conn,
    call: &Call,
    target: &Target<UserId>,
) -> Result<(User, Option<Preview>)> {
    let now = app.now();
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
}

/// Reactivates a suspended user. An active one is left unchanged.
pub async fn reactivate<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    answer: fn(User) -> A,
) -> Result<A> {
    app.change(call, async |tx| reactivate_in(app, tx, call, target).await, answer).await
}

/// Reactivates a user in a transaction.
pub(super) async fn reactivate_in(app: &App, tx: &mut Conn, call: &Call, target: &Target<UserId>) -> Result<User> {
    let mut user = guards::lock_user(tx, &call.caller, target.id).await?;
    target.check_etag(&*user)?;
    if user.state == UserState::Active {
        return Ok(user.into_inner());
    }
    authority::standing(tx, &call.caller, &user)?;
    user.state = UserState::Active;
    tx.users().save(user, Action::UserReactivated, app.now()).await
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

/// A restored user.
pub struct Restored {
    /// The user.
    pub user: User,
    /// Its former accounts at providers that were linked to other users meanwhile.
    pub unlinked: Vec<OauthAccount>,
}

/// Restores a deleted user, with another e-mail or external id if given. Its API keys are revoked unless the call restores them, and
/// accounts at providers that were linked to others meanwhile are not linked again. The limits of its organizations do not apply. A user
/// that is not deleted is left unchanged.
pub async fn undelete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<UserId>,
    restoration: &UserRestoration,
    answer: fn(Restored) -> A,
) -> Result<A> {
    let now = app.now();
    let restorable_since = now.before(app.policy.restore_window);
    app.change(
        call,
        async |tx| {
            let mut user = find(tx.users().lock_including_deleted(&call.caller.reach(), target.id).await?)?;
            if user.deleted_at.is_some_and(|deleted_at| deleted_at < restorable_since) {
                return find(None);
            }
            target.check_etag(&*user)?;
            if user.deleted_at.is_none() {
                return Ok(Restored { user: user.into_inner(), unlinked: Vec::new() });
            }
            authority::standing(tx, &call.caller, &user)?;
            if !restoration.restore_api_keys {
                tx.api_keys().revoke_of_user(&user, RESTORED, now).await?;
            }
            if user.has_other_email(restoration.email.as_ref()) {
                authority::account(tx, &call.caller, &user)?;
            }
            user.deleted_at = None;
            user.apply(UserChanges { email: restoration.email.clone(), ..UserChanges::default() }, now)?;
            user.external_id = restoration.external_id.clone().or(user.external_id.take());
            let unlinked = tx.oauth_accounts().delete_taken(&user).await?;
            let user = ending::save_proven(tx, user, Action::UserUndeleted, now).await?;
            Ok(Restored { user, unlinked })
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
