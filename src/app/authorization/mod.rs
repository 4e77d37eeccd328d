//! Permissions in an organization: checks, and lists of what somebody may do and of who may do something.

mod principals;

pub use self::principals::principals;
use super::{App, guards};
use crate::{
    db::Conn,
    error::{Entity, Error, Result},
    models::{
        ApiKey, ApiKeyId, Caller, HeldPermissions, OrganizationId, OrganizationState, Reach, Timestamp, UserId,
        permission::{self, Allowed, Basis, Decision, Question, Standing, Subject},
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
        sees_what_it_left(conn, caller, &standing).await?;
        return Ok(standing.decide(&question.permission));
    }
    of_outsider(conn, caller, id, organization_id).await.map(Decision::of)
}

/// Refuses a disabled member that asks about itself: it reaches its membership, but not the organization.
async fn sees_what_it_left(conn: &mut Conn, caller: &Caller, standing: &Standing) -> Result<()> {
    if !standing.membership.is_active() {
        guards::visible_organization(conn, caller, standing.membership.organization_id).await?;
    }
    Ok(())
}

/// Decides for a user who is not a member. A user or an organization that the caller cannot see is not found.
async fn of_outsider(conn: &mut Conn, caller: &Caller, id: UserId, organization_id: OrganizationId) -> Result<Basis> {
    let user = guards::visible_user(conn, caller, id).await?;
    guards::visible_organization(conn, caller, organization_id).await?;
    Ok(match (user.is_active(), user.is_platform_admin) {
        (false, _) => Basis::UserSuspended,
        (true, true) => Basis::PlatformAdmin,
        (true, false) => Basis::NotAMember,
    })
}

/// Finds a key that the caller may read: its own, or one of an organization whose keys its membership and its credential let it read.
async fn readable_key(conn: &mut Conn, caller: &Caller, id: ApiKeyId) -> Result<ApiKey> {
    let (key, reach) = guards::visible_key(conn, caller, id).await?;
    let as_member = matches!((caller.reach(), reach), (Reach::User(_), Reach::Organization(_)));
    if as_member && !caller.scopes.cover(permission::READ_API_KEYS) {
        return Err(Error::NotFound(Entity::ApiKey));
    }
    Ok(key)
}

/// Decides for a key: its scopes must cover the permission, and its owner must have it.
async fn of_key(
    conn: &mut Conn,
    caller: &Caller,
    id: ApiKeyId,
    question: &Question,
    now: Timestamp,
) -> Result<Decision> {
    let key = readable_key(conn, caller, id).await?;
    let organization = guards::visible_organization(conn, caller, question.organization_id).await?;
    if let Some(basis) = unusable(&key, now) {
        return Ok(Decision::of(basis));
    }
    Ok(Decision::of(match (key.organization_id, key.user_id) {
        _ if !key.scopes.hold(&question.permission) => Basis::ScopeMissing,
        (_, Some(owner)) => return of_user(conn, caller, owner, question).await,
        (own, None) if own != Some(organization.id) => Basis::NotAMember,
        _ if organization.state == OrganizationState::Suspended => Basis::OrganizationSuspended,
        _ if HeldPermissions::by_own_key(&key.scopes).covers(question.permission.as_str()) => Basis::OrganizationKey,
        _ => Basis::NotGiven,
    }))
}

/// Why a key cannot be used at all.
fn unusable(key: &ApiKey, now: Timestamp) -> Option<Basis> {
    if key.revoked_at.is_some() {
        Some(Basis::ApiKeyRevoked)
    } else if key.is_expired(now) {
        Some(Basis::ApiKeyExpired)
    } else if key.disabled_at.is_some() {
        Some(Basis::ApiKeyDisabled)
    } else {
        None
    }
}

/// Everything that a subject may do in an organization: exactly what [`decide`] allows. A resource that the caller cannot see is
/// reported as not found.
pub async fn effective(
    app: &App,
    caller: &Caller,
    subject: Subject,
    organization_id: OrganizationId,
) -> Result<Allowed> {
    let now = app.now();
    let list = app.db.read(async |conn| match subject {
        Subject::User(id) => allowed_to_user(conn, caller, id, organization_id).await,
        Subject::ApiKey(id) => allowed_to_key(conn, caller, id, organization_id, now).await,
    });
    list.await
}

async fn allowed_to_user(
    conn: &mut Conn,
    caller: &Caller,
    id: UserId,
    organization_id: OrganizationId,
) -> Result<Allowed> {
    if let Some(standing) = conn.memberships().standing(&caller.reach(), id, organization_id).await? {
        sees_what_it_left(conn, caller, &standing).await?;
        return Ok(standing.allowed());
    }
    of_outsider(conn, caller, id, organization_id).await.map(Allowed::of)
}

async fn allowed_to_key(
    conn: &mut Conn,
    caller: &Caller,
    id: ApiKeyId,
    organization_id: OrganizationId,
    now: Timestamp,
) -> Result<Allowed> {
    let key = readable_key(conn, caller, id).await?;
    let organization = guards::visible_organization(conn, caller, organization_id).await?;
    let allowed = match (unusable(&key, now), key.user_id) {
        (Some(basis), _) => Allowed::of(basis),
        (None, Some(owner)) => allowed_to_user(conn, caller, owner, organization_id).await?,
        (None, None) if key.organization_id != Some(organization.id) => Allowed::of(Basis::NotAMember),
        (None, None) if organization.state == OrganizationState::Suspended => Allowed::of(Basis::OrganizationSuspended),
        (None, None) => Allowed::of_own_key(&key),
    };
    Ok(allowed.by_key(key))
}
