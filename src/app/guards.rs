//! Rules on the caller or on stored state that several use-cases share.

use crate::{
    db::Conn,
    error::{Denial, Entity, Error, Limit, Precondition, Result, Taken},
    models::{
        ApiKey, ApiKeyId, Caller, HeldPermissions, Membership, MetadataFilters, Organization, OrganizationId,
        OrganizationState, Plan, Plans, Presented, Principal, Reach, ReservedSlugs, RoleName, Scope, SessionId, Slug,
        StateFilter, Timestamp, Use, User, UserId, UserState, Verdict,
        permission::{self, MissingAuthority},
    },
    repositories::Locked,
};

/// Maximum number of memberships of a user that tenants can create. Platform admins are exempt.
const MAX_MEMBERSHIPS: u32 = 1000;
/// Maximum number of stored memberships of a user, including those in deleted organizations that are not purged yet. It bounds a change of
/// the user, which each of the organizations sees.
const MAX_STORED_MEMBERSHIPS: u32 = 10_000;

/// Maximum number of organizations without an owner that a refusal names.
const MAX_NAMED: usize = 100;

/// Refuses everyone but platform admins.
pub(super) fn platform_admin(caller: &Caller) -> Result<()> {
    if caller.is_platform_admin() { Ok(()) } else { Err(Error::Denied(Denial::NotPlatformAdmin)) }
}

/// Refuses a caller whose credential, one of its scopes, or its owner's standing as a platform admin has ended since it was presented.
pub(super) async fn still_holds(conn: &mut Conn, caller: &Caller, scope: &Scope, now: Timestamp) -> Result<()> {
    let (id, prefix) = match caller.presented {
        Presented::ApiKey { id, prefix } => (id, prefix),
        Presented::Session(session) => return session_still_holds(conn, caller, session, now).await,
    };
    let credential = conn.api_keys().credential_of(id).await?.ok_or(Error::Unauthenticated)?;
    let used = Use { prefix, address: caller.address, scope: Some(scope) };
    if credential.standing(&used, now) != Verdict::Valid {
        return Err(Error::Unauthenticated);
    }
    let now = credential.caller(prefix);
    if now.scopes.first_not_held(&caller.scopes).is_some() {
        return Err(Error::Unauthenticated);
    }
    if caller.is_platform_admin() { platform_admin(&now) } else { Ok(()) }
}

/// Refuses a caller whose access token or session has ended since it was presented.
async fn session_still_holds(conn: &mut Conn, caller: &Caller, session: SessionId, now: Timestamp) -> Result<()> {
    let user = caller.user_id().ok_or(Error::Unauthenticated)?;
    let is_over = caller.ends_at.is_some_and(|ends_at| ends_at <= now);
    let standing = conn.sessions().standing(user, session, now).await?;
    if standing.is_some() && !is_over { Ok(()) } else { Err(Error::Unauthenticated) }
}

/// Allows only platform admins to list deleted resources.
pub(super) fn may_list<S>(caller: &Caller, state: &StateFilter<S>) -> Result<()> {
    match state {
        StateFilter::Deleted => platform_admin(caller),
        StateFilter::NotDeleted | StateFilter::Is(_) => Ok(()),
    }
}

/// Allows only platform admins to filter by what only they see.
pub(super) fn may_filter(caller: &Caller, filters: &MetadataFilters) -> Result<()> {
    match filters.private {
        Some(_) => platform_admin(caller),
        None => Ok(()),
    }
}

/// Finds a user within the caller's reach.
pub(super) async fn visible_user(conn: &mut Conn, caller: &Caller, id: UserId) -> Result<User> {
    conn.users().get(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::User))
}

/// Finds an organization within the caller's reach.
pub(super) async fn visible_organization(conn: &mut Conn, caller: &Caller, id: OrganizationId) -> Result<Organization> {
    conn.organizations().get(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::Organization))
}

/// Finds a user, and refuses a caller that is neither that user nor a platform admin.
pub(super) async fn own_user(conn: &mut Conn, caller: &Caller, id: UserId) -> Result<User> {
    let user = visible_user(conn, caller, id).await?;
    is_own(caller, id)?;
    Ok(user)
}

/// Refuses a caller that is neither this user nor a platform admin.
pub(super) fn is_own(caller: &Caller, id: UserId) -> Result<()> {
    if caller.user_id() == Some(id) { Ok(()) } else { platform_admin(caller) }
}

/// Refuses a caller with an access token where an API key is required. Returns the id of the key.
pub(super) fn api_key(caller: &Caller) -> Result<ApiKeyId> {
    caller.api_key_id().ok_or(Error::Denied(Denial::ApiKeyRequired))
}

/// The refusal of a proof of an e-mail without a credential of the account.
pub(super) fn credential_required() -> Error {
    Error::Precondition(Precondition::CredentialRequired)
}

/// Refuses one more if the limit `most` is reached. 0 means no limit, and then nothing is counted.
pub(super) async fn has_room(limit: Limit, most: u32, count: impl Future<Output = Result<i64>>) -> Result<()> {
    if most == 0 || count.await? < i64::from(most) {
        Ok(())
    } else {
        Err(Error::Precondition(Precondition::LimitReached(limit, most)))
    }
}

/// Refuses one more member of a locked organization if `most` are reached. Deleted users do not count; they are looked up only if there
/// would otherwise be no room.
pub(super) async fn has_room_for_member(tx: &mut Conn, organization: &Locked<Organization>, most: u32) -> Result<()> {
    match has_room(Limit::Members, most, tx.memberships().count(organization)).await {
        Err(Error::Precondition(Precondition::LimitReached(..))) => {
            has_room(Limit::Members, most, tx.memberships().count_shown(organization)).await
        }
        counted => counted,
    }
}

/// The answer if there may be no room for something new: if it exists already, that it does. Otherwise a call that is repeated because its
/// answer was lost could not tell that it had succeeded.
pub(super) async fn room_or_taken(
    room: Result<()>,
    exists: impl Future<Output = Result<bool>>,
    taken: Taken,
) -> Result<()> {
    match room {
        Err(Error::Precondition(Precondition::LimitReached(..))) if exists.await? => Err(Error::Taken(taken)),
        room => room,
    }
}

/// Refuses a suspended user.
pub(super) fn active_user(user: &User) -> Result<()> {
    match user.state {
        UserState::Active => Ok(()),
        UserState::Suspended => Err(Error::Precondition(Precondition::UserSuspended)),
    }
}

/// Locks a user within the caller's reach.
pub(super) async fn lock_user(tx: &mut Conn, caller: &Caller, id: UserId) -> Result<Locked<User>> {
    tx.users().lock(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::User))
}

/// Locks a user, and refuses a caller that can see the user but is neither that user nor a platform admin.
pub(super) async fn lock_own_user(tx: &mut Conn, caller: &Caller, id: UserId) -> Result<Locked<User>> {
    let user = lock_user(tx, caller, id).await?;
    is_own(caller, id)?;
    Ok(user)
}

/// Locks an organization within the caller's reach.
pub(super) async fn lock_organization(
    tx: &mut Conn,
    caller: &Caller,
    id: OrganizationId,
) -> Result<Locked<Organization>> {
    tx.organizations().lock(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::Organization))
}

/// Locks a user within the caller's reach, and refuses a suspended one.
pub(super) async fn lock_active_user(tx: &mut Conn, caller: &Caller, id: UserId) -> Result<Locked<User>> {
    let user = lock_user(tx, caller, id).await?;
    active_user(&user)?;
    Ok(user)
}

/// Refuses a plan that the deployment does not offer.
pub(super) fn offered_plan(plans: &Plans, plan: &Plan) -> Result<()> {
    plans.check(plan).map_err(|rule| Error::invalid("plan", &rule))
}

/// Refuses a reserved slug in a field of the request.
pub(super) fn unreserved(reserved: &ReservedSlugs, field: &'static str, slug: &Slug) -> Result<()> {
    if reserved.contain(slug) { Err(Error::SlugReserved(field)) } else { Ok(()) }
}

/// Refuses a suspended organization.
pub(super) fn active_organization(organization: &Organization) -> Result<()> {
    match organization.state {
        OrganizationState::Active => Ok(()),
        OrganizationState::Suspended => Err(Error::Precondition(Precondition::OrganizationSuspended)),
    }
}

/// The permissions of the caller in an organization: by its role there, within the scopes of its credential.
pub(super) async fn held(conn: &mut Conn, caller: &Caller, organization: OrganizationId) -> Result<HeldPermissions> {
    let standing = match caller.principal {
        Principal::User { is_platform_admin: true, .. } => HeldPermissions::everything(),
        Principal::Organization(own) if own == organization => return Ok(HeldPermissions::of_own_key(&caller.scopes)),
        Principal::Organization(_) => HeldPermissions::nothing(),
        Principal::User { id, .. } => conn.memberships().held(id, organization).await?,
    };
    Ok(standing.within(&caller.scopes))
}

/// Refuses a caller that does not hold a permission in an organization. Returns what it holds.
pub(super) async fn may(
    conn: &mut Conn,
    caller: &Caller,
    organization: OrganizationId,
    permission: &'static str,
) -> Result<HeldPermissions> {
    let held = held(conn, caller, organization).await?;
    match held.require(permission) {
        Ok(()) => Ok(held),
        Err(MissingAuthority::Standing(permission)) => Err(Error::Denied(Denial::RoleInsufficient(permission))),
        Err(MissingAuthority::Scope(scope)) => Err(Error::Denied(Denial::ScopeMissing(scope))),
    }
}

/// Refuses a caller that cannot see an organization, or does not hold a permission in it. The permission is read first, so that a caller
/// whose membership ends between the two reads is answered like one that never was a member.
pub(super) async fn may_read(
    conn: &mut Conn,
    caller: &Caller,
    organization: OrganizationId,
    permission: &'static str,
) -> Result<()> {
    let held = may(conn, caller, organization, permission).await;
    visible_organization(conn, caller, organization).await?;
    held.map(drop)
}

/// Refuses a caller that does not hold a permission in an organization, and in a suspended organization everyone but platform admins.
/// Returns what the caller holds.
pub(super) async fn may_change(
    conn: &mut Conn,
    caller: &Caller,
    organization: &Organization,
    permission: &'static str,
) -> Result<HeldPermissions> {
    let held = may(conn, caller, organization.id, permission).await?;
    is_open_to(caller, organization)?;
    Ok(held)
}

/// Allows only platform admins to change anything in a suspended organization.
pub(super) fn is_open_to(caller: &Caller, organization: &Organization) -> Result<()> {
    if caller.is_platform_admin() { Ok(()) } else { active_organization(organization) }
}

/// The permissions that a membership gives its user, or would give if it were not disabled.
pub(super) async fn held_by(conn: &mut Conn, membership: &Membership) -> Result<HeldPermissions> {
    conn.memberships().held_by(membership.organization_id, &membership.role, &membership.permissions).await
}

/// Refuses a role that an organization does not have. Returns what the role gives.
pub(super) async fn has_role(
    conn: &mut Conn,
    organization: OrganizationId,
    role: &RoleName,
) -> Result<HeldPermissions> {
    let given = conn.roles().given(organization, role).await?;
    given.map(|given| HeldPermissions::by(role, &given)).ok_or(Error::NotFound(Entity::Role))
}

/// True if `held` covers everything that a role of an organization gives. A role that no longer exists gives nothing.
pub(super) async fn covers_role(
    conn: &mut Conn,
    held: &HeldPermissions,
    organization: OrganizationId,
    role: &RoleName,
) -> Result<bool> {
    let given = conn.roles().given(organization, role).await?.unwrap_or_default();
    Ok(held.covers_all(&HeldPermissions::by(role, &given)))
}

/// Finds a key within the caller's reach, or of an organization whose keys the caller may see. Also returns the reach that it was found
/// in. A key that the caller may not see costs the same statements as one that does not exist.
pub(super) async fn visible_key(conn: &mut Conn, caller: &Caller, id: ApiKeyId) -> Result<(ApiKey, Reach)> {
    let own = caller.reach();
    if let Some(key) = conn.api_keys().get(&own, id).await? {
        return Ok((key, own));
    }
    if let Reach::User(user) = own
        && let Some((key, held)) = conn.api_keys().get_as_member(user, id).await?
        && let Some(organization) = key.organization_id
        && held.covers(permission::READ_API_KEYS)
    {
        return Ok((key, Reach::Organization(organization)));
    }
    Err(Error::NotFound(Entity::ApiKey))
}

/// True if the caller sees the keys of an organization within its reach.
pub(super) async fn sees_keys(conn: &mut Conn, caller: &Caller, organization: OrganizationId) -> Result<bool> {
    let stands = match caller.reach() {
        Reach::Everything(_) => true,
        Reach::Organization(own) => own == organization,
        Reach::User(_) => held(conn, caller, organization).await?.covers(permission::READ_API_KEYS),
    };
    Ok(stands && caller.scopes.cover(permission::READ_API_KEYS))
}

/// Locks a user who is to become an owner. The inner result is the refusal of one who is suspended or already owns `most` organizations.
pub(super) async fn lock_new_owner(tx: &mut Conn, caller: &Caller, id: UserId, most: u32) -> Result<Result<()>> {
    let checked = async {
        let user = lock_active_user(tx, caller, id).await?;
        may_own_another(tx, caller, &user, most).await
    };
    match checked.await {
        Err(refusal @ Error::Precondition(_)) => Ok(Err(refusal)),
        checked => checked.map(Ok),
    }
}

/// Refuses to make a locked user the owner of more than `most` organizations. Platform admins are exempt.
pub(super) async fn may_own_another(tx: &mut Conn, caller: &Caller, user: &Locked<User>, most: u32) -> Result<()> {
    let most = if caller.is_platform_admin() { 0 } else { most };
    has_room(Limit::Organizations, most, tx.memberships().count_owned_by(user.id)).await
}

/// Refuses to make a locked user a member of more than [`MAX_MEMBERSHIPS`] organizations that are not deleted, unless the caller is a
/// platform admin, and of more than [`MAX_STORED_MEMBERSHIPS`] altogether.
pub(super) async fn may_join_another(tx: &mut Conn, caller: &Caller, user: &Locked<User>) -> Result<()> {
    let stored = tx.memberships().count_of_user(user).await?;
    has_room(Limit::Memberships, MAX_STORED_MEMBERSHIPS, async { Ok(stored) }).await?;
    if caller.is_platform_admin() || stored < i64::from(MAX_MEMBERSHIPS) {
        return Ok(());
    }
    has_room(Limit::Memberships, MAX_MEMBERSHIPS, tx.memberships().count_shown_of_user(user)).await
}

/// Refuses a disabled membership.
pub(super) fn active_membership(membership: &Membership) -> Result<()> {
    if membership.is_active() { Ok(()) } else { Err(Error::Precondition(Precondition::MembershipDisabled)) }
}

/// Refuses a membership that is not an owner's.
pub(super) fn is_owner(membership: &Membership) -> Result<()> {
    if membership.role.is_owner() { Ok(()) } else { Err(Error::Precondition(Precondition::NotAnOwner)) }
}

/// Refuses to end or disable the last active ownership of an organization, whose lock must be held.
pub(super) async fn keeps_an_owner(tx: &mut Conn, membership: &Membership) -> Result<()> {
    if !membership.role.is_owner() {
        return Ok(());
    }
    has_owner(tx, vec![membership.organization_id], Some(membership.user_id)).await
}

/// Refuses to remove a user who is the last active owner of an organization.
pub(super) async fn no_organization_loses_its_last_owner(tx: &mut Conn, user: &User) -> Result<()> {
    refuse_orphaned(orphaned_without(tx, user).await?)
}

/// Up to [`MAX_NAMED`] organizations that would have no active owner without a user. Locks every organization that the user owns, so
/// that two owners are not removed at once. Deleted ones are locked too, so that none is restored with this owner meanwhile.
pub(super) async fn orphaned_without(tx: &mut Conn, user: &User) -> Result<Vec<OrganizationId>> {
    if user.deleted_at.is_some() {
        // Its organizations had another owner when it was deleted.
        return Ok(Vec::new());
    }
    let owned = tx.memberships().owned_by(user.id).await?;
    let owned = tx.organizations().lock_many(&owned).await?;
    // Read again under the locks, because ownerships may have ended since.
    let still = tx.memberships().owned_by(user.id).await?;
    let owned: Vec<OrganizationId> = owned.into_iter().filter(|id| still.contains(id)).collect();
    orphaned(tx, owned, Some(user.id)).await
}

/// Those of some organizations that have no active owner, not counting `without`. Their locks must be held.
async fn orphaned(tx: &mut Conn, mut ids: Vec<OrganizationId>, without: Option<UserId>) -> Result<Vec<OrganizationId>> {
    if !ids.is_empty() {
        let owned = tx.memberships().with_active_owner(&ids, without).await?;
        ids.retain(|id| !owned.contains(id));
        ids.truncate(MAX_NAMED);
    }
    Ok(ids)
}

/// Refuses organizations that have no active owner, not counting `without`. Their locks must be held.
pub(super) async fn has_owner(tx: &mut Conn, ids: Vec<OrganizationId>, without: Option<UserId>) -> Result<()> {
    refuse_orphaned(orphaned(tx, ids, without).await?)
}

fn refuse_orphaned(orphaned: Vec<OrganizationId>) -> Result<()> {
    if orphaned.is_empty() { Ok(()) } else { Err(Error::Precondition(Precondition::LastOwner(orphaned))) }
}

/// Refuses to remove the last active platform admin.
pub(super) async fn platform_keeps_an_admin(tx: &mut Conn, user: &User) -> Result<()> {
    if !user.is_platform_admin || !user.is_active() {
        return Ok(());
    }
    let admins = tx.users().lock_active_platform_admins().await?;
    if admins.iter().any(|id| *id != user.id) {
        Ok(())
    } else {
        Err(Error::Precondition(Precondition::LastPlatformAdmin))
    }
}
