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
    error::{Entity, Error, Limit, Result, Taken},
    models::{
        Action, Call, Caller, HeldPermissions, Impact, Membership, MembershipChanges, MembershipFilter, MembershipId,
        MembershipKey, NewMembership, Organization, Page, PageRequest, permission,
    },
    repositories::Locked,
};

/// Creates a membership.
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
    let most = app.policy.max_members;
    guards::has_room(Limit::Members, most, tx.memberships().count(&organization)).await?;
    let given = guards::has_role(tx, new.organization_id, &new.role).await?.and(&new.permissions);
    let held = guards::held(tx, caller, organization.id).await?;
    authority::permissions(tx, &held, None, &given)?;
    // Decided by a read and not by the unique index, so that a batch knows whose refusal it is.
    let ends = MembershipKey::Ends(user.id, organization.id);
    if tx.memberships().get(&caller.reach(), ends).await?.is_some() {
        return Err(Error::Taken(Taken::Membership));
    }
    let membership = new.to_membership(app.new_id(now), now);
    tx.memberships().insert(&membership).await?;
    Ok(membership)
}

/// Gets a membership by its id, or by its user and organization.
pub async fn get(app: &App, caller: &Caller, key: MembershipKey) -> Result<Membership> {
    find(app.db.read(async |conn| conn.memberships().get(&caller.reach(), key).await).await?)
}

/// Lists a page of memberships.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &MembershipFilter,
    page: &PageRequest,
) -> Result<Page<Membership>> {
    let list = app.db.scan(async |conn| {
        if let Some(id) = filter.organization_id {
            guards::visible_organization(conn, caller, id).await?;
        }
        if let Some(id) = filter.user_id {
            guards::visible_user(conn, caller, id).await?;
        }
        conn.memberships().list(&caller.reach(), filter, page).await
    });
    list.await
}

/// Updates the fields of a membership that `changes` names. Invitations that its user sent to roles that the user no longer holds end.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<MembershipId>,
    changes: &MembershipChanges,
    answer: fn((Membership, Option<Preview>)) -> A,
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
) -> Result<(Membership, Option<Preview>)> {
    let (caller, now) = (&call.caller, app.now());
    let mut dry_run = DryRun::of(call);
    let found = find(tx.memberships().get(&caller.reach(), MembershipKey::Id(target.id)).await?)?;
    if changes.role.as_ref().is_some_and(|role| role.is_owner() && !found.role.is_owner()) {
        let most = app.policy.max_organizations;
        dry_run.rule(guards::lock_new_owner(tx, caller, found.user_id, most).await)?;
    }
    let (organization, mut membership) = lock(tx, caller, &found).await?;
    let held = guards::may(tx, caller, organization.id, permission::WRITE_MEMBERSHIPS).await?;
    dry_run.rule(guards::is_open_to(caller, &organization))?;
    let before = guards::held_by(tx, &membership).await?;
    held.outranks(&before)?;
    target.check_etag(&*membership)?;
    if changes.role.as_ref().is_some_and(|role| !role.is_owner()) {
        dry_run.rule(guards::keeps_an_owner(tx, &membership).await)?;
    }
    membership.apply(changes.clone());
    let given = tx.roles().given(membership.organization_id, &membership.role).await?;
    if changes.role.is_some() && given.is_none() {
        return Err(Error::NotFound(Entity::Role));
    }
    let after = HeldPermissions::by(&membership.role, &membership.permissions).and(&given.unwrap_or_default());
    authority::permissions(tx, &held, Some(&before), &after)?;
    let preview = dry_run.preview(async { Ok(Impact::of_memberships(1)) }).await?;
    if preview.is_some() {
        return Ok((membership.into_inner(), preview));
    }
    let membership = tx.memberships().save(membership, Action::MembershipUpdated, now).await?;
    ending::with_membership(tx, &organization, membership.user_id, now).await?;
    Ok((membership, None))
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
