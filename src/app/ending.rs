//! What ends when the ground for it goes: nothing that was started for a user, or given by one, outlasts that.

use super::guards;
use crate::{
    db::Conn,
    error::Result,
    models::{Locked, Organization, Timestamp, User, UserId},
};

/// Ends the tokens that were mailed to a user, and so every change that waits for one.
pub(super) async fn mailed_tokens(tx: &mut Conn, user: &User) -> Result<()> {
    tx.one_time_tokens().delete_of_user(user).await
}

/// Ends what a user who is suspended or deleted has started: its sessions, the tokens mailed to it and the invitations that it sent.
pub(super) async fn with_user(tx: &mut Conn, user: &User, now: Timestamp) -> Result<()> {
    end_sessions(tx, user.id, None, now).await?;
    mailed_tokens(tx, user).await?;
    tx.invitations().expire_sent_by(user.id, None, false, now).await
}

/// Ends the invitations that a user sent as a platform admin, which it no longer is.
pub(super) async fn with_platform_administration(tx: &mut Conn, user: &User, now: Timestamp) -> Result<()> {
    tx.invitations().expire_sent_by(user.id, None, true, now).await
}

/// Ends the invitations to a locked organization that a user sent, as one of its members, to roles that it does not hold any more.
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
    tx.invitations().expire_sent_by(user, Some((organization, &beyond)), false, now).await
}

/// Ends what a stranger may have made of an account whose mailbox is proven for the first time, by somebody who has shown no credential of
/// it: API keys, sessions, links to providers and mailed tokens. Tells how many keys and sessions that were.
pub(super) async fn with_first_proof(tx: &mut Conn, user: &Locked<User>, now: Timestamp) -> Result<(i64, i64)> {
    let keys = tx.api_keys().revoke_of_user(user, "the e-mail was proven for the first time", now).await?;
    let sessions = end_sessions(tx, user.id, None, now).await?;
    while tx.oauth_accounts().delete_of_user(user, i64::MAX).await? > 0 {}
    mailed_tokens(tx, user).await?;
    Ok((keys, sessions))
}

/// Refuses to verify the mailbox of an account with credentials for a caller that has shown none: they may be a stranger's.
pub(super) async fn nothing_is_there(tx: &mut Conn, user: &Locked<User>, now: Timestamp) -> Result<()> {
    if tx.users().has_credentials(user, now).await? { Err(guards::credential_required()) } else { Ok(()) }
}
