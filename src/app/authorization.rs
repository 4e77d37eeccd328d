//! Permission checks in an organization.

use super::{App, guards};
use crate::{
    db::Conn,
    error::Result,
    models::{
        ApiKeyId, Caller, HeldPermissions, OrganizationState, Timestamp, UserId,
        permission::{Basis, Decision, Question, Subject},
    },
};

/// Decides whether the subject of a check has a permission. A resource that the caller cannot see is reported as not found.
pub async fn decide(app: &App, caller: &Caller, question: &Question) -> Result<Decision> {
    let now = app.now();
    let decide = app.db.read(async |conn| match question.subject {
        Subject::User(id) => of_user(conn, caller, id, question).await,
        Subject::ApiKey(id) => of_key(conn, caller, id, question, now).await,
    });
    decide.await
}

/// Decides for a user.
async fn of_user(conn: &mut Conn, caller: &Caller, id: UserId, question: &Question) -> Result<Decision> {
    let organization_id = question.organization_id;
    if let Some(standing) = conn.memberships().standing(&caller.reach(), id, organization_id).await? {
        return Ok(standing.decide(&question.permission));
    }
    // Not a member. A user or an organization that the caller cannot see is not found.
    let user = guards::visible_user(conn, caller, id).await?;
    guards::visible_organization(conn, caller, organization_id).await?;
    Ok(Decision::of(match (user.is_active(), user.is_platform_admin) {
        (false, _) => Basis::UserSuspended,
        (true, true) => Basis::PlatformAdmin,
        (true, false) => Basis::NotAMember,
    }))
}

/// Decides for a key: its scopes must cover the permission, and its owner must have it.
async fn of_key(
    conn: &mut Conn,
    caller: &Caller,
    id: ApiKeyId,
    question: &Question,
    now: Timestamp,
) -> Result<Decision> {
    let (key, _) = guards::visible_key(conn, caller, id).await?;
    let organization = guards::visible_organization(conn, caller, question.organization_id).await?;
    Ok(Decision::of(match (key.organization_id, key.user_id) {
        _ if key.revoked_at.is_some() => Basis::ApiKeyRevoked,
        _ if key.is_expired(now) => Basis::ApiKeyExpired,
        _ if !key.scopes.hold(&question.permission) => Basis::ScopeMissing,
        (_, Some(owner)) => return of_user(conn, caller, owner, question).await,
        (own, None) if own != Some(organization.id) => Basis::NotAMember,
        _ if organization.state == OrganizationState::Suspended => Basis::OrganizationSuspended,
        _ if HeldPermissions::by_own_key(&key.scopes).covers(question.permission.as_str()) => Basis::OrganizationKey,
        _ => Basis::NotGiven,
    }))
}
