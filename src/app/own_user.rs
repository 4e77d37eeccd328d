//! Deleting oneself.

use std::time::Duration;

use super::{
    App,
    authentication::password::{self, PresentedPassword},
    authority,
    change::Answer,
    ending, guards,
    proof::Proof,
};
use crate::{
    db::Conn,
    error::{Error, Precondition, Result},
    models::{Action, Call, Caller, OrganizationId, Plaintext, SessionId, Timestamp, User, UserId, session::IpText},
    repositories::Locked,
};

/// How long ago a user without a password may have signed in.
const RECENT: Duration = Duration::from_mins(10);

/// A request to delete oneself.
pub struct OwnDeletion {
    /// The user.
    pub user_id: UserId,
    /// The password, if the user has one.
    pub password: Option<Plaintext>,
    /// The address that it was presented from.
    pub ip_address: Option<IpText>,
    /// Whether the organizations that have no other member are deleted too.
    pub sole_organizations: bool,
}

/// A deleted user, and the organizations deleted with it.
pub struct Deleted {
    /// The user.
    pub user: User,
    /// The organizations that had no other member.
    pub organizations: Vec<OrganizationId>,
}

/// Proof that the user itself wants to be deleted.
enum Evidence {
    /// The password.
    Password(Box<Proof>),
    /// The session of the caller, which began a short while ago. The user has no password.
    Session(SessionId),
}

/// Deletes a user who has just proven its identity; with `sole_organizations` also the organizations that have no other member. All of
/// them can be restored for a while.
pub async fn delete<A: Answer>(app: &App, call: &Call, deletion: OwnDeletion, answer: fn(Deleted) -> A) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let (caller, now) = (&call.caller, app.now());
    let (user_id, sole_organizations) = (deletion.user_id, deletion.sole_organizations);
    let evidence = &Box::pin(prove(app, call, deletion)).await?;
    app.change(
        call,
        async |tx| {
            let mut user = match evidence {
                Evidence::Password(proof) => proof.lock_user(tx, Precondition::PasswordRejected).await?,
                Evidence::Session(session) => lock_without_password(tx, caller, user_id, *session, now).await?,
            };
            authority::may_authenticate(caller, &user)?;
            guards::platform_keeps_an_admin(tx, &user).await?;
            let mut organizations = Vec::new();
            if sole_organizations {
                organizations = delete_sole_organizations(tx, caller, &user, now).await?;
            }
            guards::no_organization_loses_its_last_owner(tx, &user).await?;
            user.deleted_at = Some(now);
            let user = tx.users().save(user, Action::UserDeleted, now).await?;
            ending::with_user(tx, &user, now).await?;
            Ok(Deleted { user, organizations })
        },
        answer,
    )
    .await
}

/// Checks the password or, for a user without one who presents none, that the caller's session has just begun. An access token alone is
/// not enough: it may be stolen, and its session old.
async fn prove(app: &App, call: &Call, deletion: OwnDeletion) -> Result<Evidence> {
    let OwnDeletion { user_id, password, ip_address, .. } = deletion;
    if let Some(password) = password {
        let presented = PresentedPassword { user_id, password, ip_address };
        return Ok(Evidence::Password(Box::new(password::prove(app, call, presented).await?)));
    }
    let (caller, now) = (&call.caller, app.now());
    let session = app.db.read(async |conn| {
        let user = guards::own_user(conn, caller, user_id).await?;
        if conn.passwords().get(&user).await?.is_some() || caller.user_id() != Some(user.id) {
            return Ok(None);
        }
        let Some(session) = caller.session() else { return Ok(None) };
        let session = conn.sessions().get(&caller.reach(), session).await?;
        Ok(session.filter(|session| session.created_at >= now.before(RECENT)))
    });
    let session = session.await?.ok_or(Error::Precondition(Precondition::ProofRequired))?;
    Ok(Evidence::Session(session.id))
}

/// Locks the caller's own user. Refuses one who has a password or whose session has ended by now.
async fn lock_without_password(
    tx: &mut Conn,
    caller: &Caller,
    id: UserId,
    session: SessionId,
    now: Timestamp,
) -> Result<Locked<User>> {
    let user = guards::lock_own_user(tx, caller, id).await?;
    let has_password = tx.passwords().get(&user).await?.is_some();
    if has_password || tx.sessions().standing(user.id, session, now).await?.is_none() {
        return Err(Error::Precondition(Precondition::ProofRequired));
    }
    Ok(user)
}

/// Deletes the organizations that would have no owner without a user and that have no other member, apart from deleted users. A suspended
/// one stays: only platform admins change it.
async fn delete_sole_organizations(
    tx: &mut Conn,
    caller: &Caller,
    user: &User,
    now: Timestamp,
) -> Result<Vec<OrganizationId>> {
    let mut deleted = Vec::new();
    loop {
        let before = deleted.len();
        // As many as a refusal would name.
        for id in guards::orphaned_without(tx, user).await? {
            let Some(mut organization) = tx.organizations().lock(&caller.reach(), id).await? else { continue };
            let is_open = guards::is_open_to(caller, &organization).is_ok();
            if is_open && tx.memberships().count_shown(&organization).await? == 1 {
                tx.sessions().end_of_organization(id, now).await?;
                organization.deleted_at = Some(now);
                tx.organizations().save(organization, Action::OrganizationDeleted, now).await?;
                deleted.push(id);
            }
        }
        if deleted.len() == before {
            return Ok(deleted);
        }
    }
}
