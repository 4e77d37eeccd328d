//! Ends everything that depends on a user, a membership or the trust in an account.

use super::{guards, session};
use crate::{
    db::Conn,
    error::Result,
    models::{Action, Organization, Reach, Timestamp, User, UserId},
    repositories::{Locked, SentInvitations},
};

/// Ends the tokens that were mailed to a user, and with them pending changes of the e-mail.
pub(super) async fn mailed_tokens(tx: &mut Conn, user: &User) -> Result<()> {
    tx.one_time_tokens().delete_of_user(user).await
}

/// Ends what belongs to a user who is suspended or deleted: the sessions, the mailed tokens, and the invitations that the user sent.
pub(super) async fn with_user(tx: &mut Conn, user: &User, now: Timestamp) -> Result<()> {
    session::end_all(tx, user.id, None, now).await?;
    mailed_tokens(tx, user).await?;
    tx.invitations().expire_sent_by(user.id, SentInvitations::All, now).await
}

/// Ends the invitations that a former platform admin sent as one.
pub(super) async fn with_platform_administration(tx: &mut Conn, user: &User, now: Timestamp) -> Result<()> {
    tx.invitations().expire_sent_by(user.id, SentInvitations::AsPlatformAdmin, now).await
}

/// Ends the invitations to a locked organization that a user sent as a member, to roles that the user no longer holds.
pub(super) async fn with_membership(
    tx: &mut Conn,
    organization: &Locked<Organization>,
    user: UserId,
    now: Timestamp,
) -> Result<()> {
    let roles = tx.invitations().roles_sent_by(user, organization, now).await?;
    if roles.is_empty() {
        return Ok(());
    }
    let held = tx.memberships().held(user, organization.id).await?;
    let mut beyond = Vec::new();
    for role in roles {
        if !guards::covers_role(tx, &held, organization.id, &role).await? {
            beyond.push(role);
        }
    }
    if beyond.is_empty() {
        return Ok(());
    }
    tx.invitations().expire_sent_by(user, SentInvitations::ToRoles(organization, &beyond), now).await
}

/// Ends the invitation of a member's verified address to a locked organization: there is nothing left to accept.
pub(super) async fn invitation_of_member(
    tx: &mut Conn,
    organization: &Locked<Organization>,
    user: &Locked<User>,
) -> Result<()> {
    if user.email_verified_at.is_none() {
        // Whether the invited person is this user is not known.
        return Ok(());
    }
    match tx.invitations().lock_to(organization, &user.email_normalized).await? {
        Some(invitation) => tx.invitations().delete(invitation, Action::InvitationRevoked).await,
        None => Ok(()),
    }
}

/// Stores a user whose e-mail may be proven by now, or who is restored. If so, invitations of its verified address to organizations that it
/// is a member of end.
pub(super) async fn save_proven(tx: &mut Conn, user: Locked<User>, action: Action, now: Timestamp) -> Result<User> {
    let before = user.before();
    let was_proven = before.email_verified_at.is_some() && before.email_normalized == user.email_normalized;
    if user.email_verified_at.is_some() && (!was_proven || before.deleted_at.is_some()) {
        let mut done = Vec::new();
        loop {
            let organizations = tx.invitations().to_member(&user).await?;
            if organizations.is_empty() || organizations == done {
                break;
            }
            done.clone_from(&organizations);
            for id in organizations {
                let organization = tx.organizations().lock_including_deleted(&Reach::by_system(), id).await?;
                if let Some(organization) = organization {
                    invitation_of_member(tx, &organization, &user).await?;
                }
            }
        }
    }
    tx.users().save(user, action, now).await
}

/// Ends what a stranger may have created in an account whose e-mail is proven for the first time without a credential of the account:
/// API keys, also those of organizations that descend from it, sessions, links to providers, mailed tokens, sent invitations and the password.
pub(super) async fn with_first_proof(tx: &mut Conn, user: &Locked<User>, now: Timestamp) -> Result<()> {
    with_first_password(tx, user, now).await?;
    tx.passwords().remove(user).await.map(drop)
}

/// The same for a proof that sets a password, which replaces a former one. Returns the numbers of API keys and of sessions.
pub(super) async fn with_first_password(tx: &mut Conn, user: &Locked<User>, now: Timestamp) -> Result<(i64, i64)> {
    let reason = "the e-mail was proven for the first time";
    let mut keys = tx.api_keys().revoke_of_user(user, reason, now).await?;
    keys += tx.api_keys().revoke_from(user, reason, now).await?;
    tx.invitations().expire_sent_by(user.id, SentInvitations::All, now).await?;
    let sessions = session::end_all(tx, user.id, None, now).await?;
    while tx.oauth_accounts().delete_of_user(user, i64::MAX).await? > 0 {}
    mailed_tokens(tx, user).await?;
    Ok((keys, sessions))
}
