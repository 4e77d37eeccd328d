//! Memberships.
//!
//! Every change of a membership locks the organization first, so that one call at a time decides who owns an organization. A call that
//! gives ownership locks the user before that, so that the user cannot be suspended meanwhile.

use super::{
    App, authority,
    change::Answer,
    dry_run::{DryRun, Preview},
    ending, guards,
    target::Target,
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result, Taken},
    models::{
        Action, Call, Caller, Count, HeldPermissions, Impact, Member, MemberFilter, Membership, MembershipChanges,
        MembershipFilter, MembershipId, MembershipKey, MembershipState, NewMembership, Organization, OrganizationId,
        Page, PageRequest, RoleName, Seen, User, UserState, permission,
    },
    repositories::Locked,
};

/// The scope that shows the profiles of members.
const READ_USERS: &str = "users:read";

/// Creates a membership. An invitation to the user's verified e-mail ends.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewMembership, answer: fn(Membership) -> A) -> Result<A> {
    app.change(call, async |tx| create_in(app, tx, call, new).await, answer).await
}

/// Creates a membership in a transaction.
pub(super) async fn create_in(app: &App, tx: &mut Conn, call: &Call, new: &NewMembership) -> Result<Membership> {
    let (caller, now) = (&call.caller, app.now());
    let user = guards::lock_user(tx, caller, new.user_id).await?;
    if new.role.is_owner() {
        guards::active_user(&user)?;
    }
    let organization = guards::lock_organization(tx, caller, new.organization_id).await?;
    has_room(tx, caller, &user, &organization, app.policy.max_members).await?;
    let given = guards::has_role(tx, new.organization_id, &new.role).await?.and(&new.permissions);
    let held = guards::held(tx, caller, organization.id).await?;
    authority::permissions(tx, caller, &held, None, &given)?;
    // Decided by reads and not by the unique indexes: a statement that fails ends the transaction, and with it the other items of a batch.
    if exists(tx, caller, &user, &organization).await? {
        return Err(Error::Taken(Taken::Membership));
    }
    let membership = new.to_membership(app.new_id(now), now);
    external_id_is_free(tx, caller, &membership).await?;
    tx.memberships().insert(&membership, &user).await?;
    ending::invitation_of_member(tx, &organization, &user).await?;
    Ok(membership)
}

/// Gets a membership by its id, or by its user and organization.
pub async fn get(app: &App, caller: &Caller, key: &MembershipKey) -> Result<Seen<Membership>> {
    let found = app.db.read(async |conn| conn.memberships().get(&caller.reach(), key.clone()).await).await?;
    find(found).map(|membership| caller.sees(membership))
}

/// Lists a page of memberships.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &MembershipFilter,
    page: &PageRequest,
) -> Result<Page<Seen<Membership>>> {
    guards::may_filter(caller, &filter.metadata)?;
    let list = app.db.scan(async |conn| {
        if let Some(id) = filter.organization_id {
            guards::visible_organization(conn, caller, id).await?;
        }
        if let Some(id) = filter.user_id {
            guards::visible_user(conn, caller, id).await?;
        }
        conn.memberships().list(&caller.reach(), filter, page).await
    });
    Ok(list.await?.map(|membership| caller.sees(membership)))
}

/// Lists a page of the members of an organization with their profiles.
pub async fn list_members(
    app: &App,
    caller: &Caller,
    filter: &MemberFilter,
    page: &PageRequest,
) -> Result<Page<Seen<Member>>> {
    // The list shows of each what GetUser would.
    authority::scope(caller, READ_USERS)?;
    let list = app.db.scan(async |conn| {
        guards::visible_organization(conn, caller, filter.organization_id).await?;
        conn.memberships().list_members(filter, page).await
    });
    Ok(list.await?.map(|member| caller.sees(member)))
}

/// Counts the members of an organization.
pub async fn count_members(
    app: &App,
    caller: &Caller,
    organization: OrganizationId,
    state: Option<UserState>,
    roles: &[RoleName],
) -> Result<Count> {
    let count = app.db.scan(async |conn| {
        guards::visible_organization(conn, caller, organization).await?;
        conn.memberships().count_members(organization, state, roles).await
    });
    count.await
}

/// Updates the fields of a membership that `changes` names. Invitations that its user sent to roles that the user no longer holds end.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<MembershipId>,
    changes: &MembershipChanges,
    answer: fn((Seen<Membership>, Option<Preview>)) -> A,
) -> Result<A> {
    app.change(call, async |tx| update_in(app, tx, call, target, changes).await, answer).await
}

/// Updates a membership in a transaction.
pub(super) async fn update_in(
    app: &App,
    tx: &mut Conn,
    call: &Call,
    target: &Target<MembershipId>,
    changes: &MembershipChanges,
) -> Result<(Seen<Membership>, Option<Preview>)> {
    let (caller, now) = (&call.caller, app.now());
    let mut dry_run = DryRun::of(call);
    let found = find(tx.memberships().get(&caller.reach(), MembershipKey::Id(target.id)).await?)?;
    // The user is locked before the organization, but only a caller that may change the membership learns of a limit.
    let mut new_owner = Ok(());
    if changes.role.as_ref().is_some_and(|role| role.is_owner() && !found.role.is_owner()) {
        new_owner = guards::lock_new_owner(tx, caller, found.user_id, app.policy.max_organizations).await?;
    }
    let (organization, mut membership) = lock(tx, caller, &found).await?;
    let held = guards::may(tx, caller, organization.id, permission::WRITE_MEMBERSHIPS).await?;
    if changes.private_metadata.is_some() {
        guards::platform_admin(caller)?;
    }
    dry_run.rule(guards::is_open_to(caller, &organization))?;
    let before = guards::held_by(tx, &membership).await?;
    held.outranks(&before)?;
    target.check_etag(&*membership)?;
    if changes.role.as_ref().is_some_and(|role| !role.is_owner()) {
        dry_run.rule(guards::keeps_an_owner(tx, &membership).await)?;
    }
    let was_owner = membership.role.is_owner();
    membership.apply(changes.clone())?;
    let given = tx.roles().given(membership.organization_id, &membership.role).await?;
    if changes.role.is_some() && given.is_none() {
        return Err(Error::NotFound(Entity::Role));
    }
    let after = HeldPermissions::by(&membership.role, &membership.permissions).and(&given.unwrap_or_default());
    // Ownership is more than its permissions: it is given even to a member who holds all of them.
    let kept = (was_owner || !membership.role.is_owner()).then_some(&before);
    authority::permissions(tx, caller, &held, kept, &after)?;
    dry_run.rule(new_owner)?;
    if changes.external_id.is_some() {
        external_id_is_free(tx, caller, &membership).await?;
    }
    let preview = dry_run.preview(async { Ok(Impact::of_memberships(1)) }).await?;
    if preview.is_some() {
        return Ok((caller.sees(membership.into_inner()), preview));
    }
    let revision = membership.revision;
    let membership = tx.memberships().save(membership, Action::MembershipUpdated, now).await?;
    if membership.revision != revision {
        ending::with_membership(tx, &organization, membership.user_id, now).await?;
    }
    Ok((caller.sees(membership), None))
}

/// Deletes a membership: the caller's own, or one that the caller may write and outranks.
pub async fn delete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<MembershipId>,
    answer: fn(()) -> A,
) -> Result<A> {
    app.change(call, async |tx| delete_in(app, tx, call, target).await, answer).await
}

/// Deletes a membership in a transaction.
pub(super) async fn delete_in(app: &App, tx: &mut Conn, call: &Call, target: &Target<MembershipId>) -> Result<()> {
    let (caller, now) = (&call.caller, app.now());
    let found = find(tx.memberships().get(&caller.reach(), MembershipKey::Id(target.id)).await?)?;
    let (organization, membership) = lock(tx, caller, &found).await?;
    if caller.user_id() == Some(membership.user_id) {
        guards::is_open_to(caller, &organization)?;
    } else {
        let held = guards::may_change(tx, caller, &organization, permission::WRITE_MEMBERSHIPS).await?;
        held.outranks(&guards::held_by(tx, &membership).await?)?;
    }
    target.check_etag(&*membership)?;
    guards::keeps_an_owner(tx, &membership).await?;
    let user = membership.user_id;
    tx.memberships().delete(membership).await?;
    ending::with_membership(tx, &organization, user, now).await
}

/// Refuses a membership that would exceed the limit of its user or, with `most`, of its organization.
async fn has_room(
    tx: &mut Conn,
    caller: &Caller,
    user: &Locked<User>,
    organization: &Locked<Organization>,
    most: u32,
) -> Result<()> {
    let room = match guards::has_room_for_member(tx, organization, most).await {
        Ok(()) => guards::may_join_another(tx, caller, user).await,
        full => full,
    };
    guards::room_or_taken(room, exists(tx, caller, user, organization), Taken::Membership).await
}

/// True if a user is a member of an organization.
async fn exists(
    tx: &mut Conn,
    caller: &Caller,
    user: &Locked<User>,
    organization: &Locked<Organization>,
) -> Result<bool> {
    let key = MembershipKey::Ends(user.id, organization.id);
    Ok(tx.memberships().get(&caller.reach(), key).await?.is_some())
}

/// Refuses an external id that another membership of the organization has.
async fn external_id_is_free(tx: &mut Conn, caller: &Caller, membership: &Membership) -> Result<()> {
    let Some(external_id) = membership.external_id.clone() else { return Ok(()) };
    let key = MembershipKey::External(membership.organization_id, external_id);
    match tx.memberships().get(&caller.reach(), key).await? {
        Some(other) if other.id != membership.id => Err(Error::Taken(Taken::MembershipExternalId)),
        Some(_) | None => Ok(()),
    }
}

/// Disables a membership that the caller may write and outranks. A disabled one is left unchanged. What its user gave as a member ends
/// as if the membership had ended.
pub async fn disable<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<MembershipId>,
    answer: fn(Membership) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let (organization, mut membership, _) = lock_below(tx, caller, target).await?;
            if !membership.is_active() {
                return Ok(membership.into_inner());
            }
            guards::keeps_an_owner(tx, &membership).await?;
            membership.state = MembershipState::Disabled;
            let membership = tx.memberships().save(membership, Action::MembershipDisabled, now).await?;
            ending::with_membership(tx, &organization, membership.user_id, now).await?;
            Ok(membership)
        },
        answer,
    )
    .await
}

/// Enables a disabled membership, for which the caller must hold everything that it gives. An active one is left unchanged.
pub async fn enable<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<MembershipId>,
    answer: fn(Membership) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let (_, mut membership, held) = lock_below(tx, caller, target).await?;
            if membership.is_active() {
                return Ok(membership.into_inner());
            }
            let given = guards::held_by(tx, &membership).await?;
            authority::permissions(tx, caller, &held, None, &given)?;
            membership.state = MembershipState::Active;
            tx.memberships().save(membership, Action::MembershipEnabled, now).await
        },
        answer,
    )
    .await
}

/// Locks a membership that the caller may write and outranks, in an organization that is open to it. Also returns what the caller holds.
async fn lock_below(
    tx: &mut Conn,
    caller: &Caller,
    target: &Target<MembershipId>,
) -> Result<(Locked<Organization>, Locked<Membership>, HeldPermissions)> {
    let found = find(tx.memberships().get(&caller.reach(), MembershipKey::Id(target.id)).await?)?;
    let (organization, membership) = lock(tx, caller, &found).await?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_MEMBERSHIPS).await?;
    held.outranks(&guards::held_by(tx, &membership).await?)?;
    target.check_etag(&*membership)?;
    Ok((organization, membership, held))
}

/// Locks the organization of a membership and then the membership.
async fn lock(
    tx: &mut Conn,
    caller: &Caller,
    found: &Membership,
) -> Result<(Locked<Organization>, Locked<Membership>)> {
    let organization = find(tx.organizations().lock(&caller.reach(), found.organization_id).await?)?;
    let membership = find(tx.memberships().lock(&caller.reach(), MembershipKey::Id(found.id)).await?)?;
    Ok((organization, membership))
}

fn find<T>(membership: Option<T>) -> Result<T> {
    membership.ok_or(Error::NotFound(Entity::Membership))
}
