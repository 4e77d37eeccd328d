//! Roles.
//!
//! Like every change of a membership, every change of a role locks the organization first, so that one call at a time decides what a
//! role gives and who has it.

use super::{App, authority, change::Answer, guards, target::Target};
use crate::{
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result, Taken},
    models::{
        Action, Call, Caller, HeldPermissions, NewRole, OrganizationId, Page, PageRequest, Role, RoleChanges, RoleId,
        RoleKey, permission,
    },
    repositories::Locked,
};

/// Maximum number of roles of an organization.
const MAX_ROLES: u32 = 100;

/// Creates a role of an organization.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewRole, answer: fn(Role) -> A) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let role = new.to_role(app.new_id(now), now);
    app.change(
        call,
        async |tx| {
            let organization = guards::lock_organization(tx, caller, new.organization_id).await?;
            let held = guards::may_change(tx, caller, &organization, permission::WRITE_ROLES).await?;
            authority::permissions(tx, &held, None, &role.gives())?;
            let room = guards::has_room(Limit::Roles, MAX_ROLES, tx.roles().count(&organization)).await;
            let key = RoleKey::Named(organization.id, role.name.clone());
            let exists = async { Ok(tx.roles().get(&caller.reach(), &key).await?.is_some()) };
            guards::room_or_taken(room, exists, Taken::Role).await?;
            tx.roles().insert(&organization, &role).await?;
            Ok(role.clone())
        },
        answer,
    )
    .await
}

/// Gets a role by its id, or by its organization and name.
pub async fn get(app: &App, caller: &Caller, key: &RoleKey) -> Result<Role> {
    find(app.db.read(async |conn| conn.roles().get(&caller.reach(), key).await).await?)
}

/// Lists a page of the roles of an organization.
pub async fn list(
    app: &App,
    caller: &Caller,
    organization_id: OrganizationId,
    page: &PageRequest,
) -> Result<Page<Role>> {
    let list = app.db.scan(async |conn| {
        guards::visible_organization(conn, caller, organization_id).await?;
        conn.roles().list(&caller.reach(), organization_id, page).await
    });
    list.await
}

/// Updates the fields of a role that `changes` names.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<RoleId>,
    changes: &RoleChanges,
    answer: fn(Role) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let (mut role, held) = lock(tx, &call.caller, target.id).await?;
            target.check_etag(&*role)?;
            let before = role.gives();
            role.apply(changes.clone());
            authority::permissions(tx, &held, Some(&before), &role.gives())?;
            tx.roles().save(role, Action::RoleUpdated, now).await
        },
        answer,
    )
    .await
}

/// Deletes a role that no member has. Deleted users who had it are restored as viewers.
pub async fn delete<A: Answer>(app: &App, call: &Call, target: &Target<RoleId>, answer: fn(()) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let (role, _) = lock(tx, &call.caller, target.id).await?;
            target.check_etag(&*role)?;
            if tx.roles().is_used(&role).await? {
                return Err(Error::Precondition(Precondition::RoleInUse));
            }
            tx.memberships().remove_role(&role, now).await?;
            tx.roles().delete(role).await
        },
        answer,
    )
    .await
}

/// Locks the organization of a role and then the role. Refuses a caller that may not write roles or does not hold everything that the
/// role gives. Also returns what the caller holds.
async fn lock(tx: &mut Conn, caller: &Caller, id: RoleId) -> Result<(Locked<Role>, HeldPermissions)> {
    let found = find(tx.roles().get(&caller.reach(), &RoleKey::Id(id)).await?)?;
    let organization = find(tx.organizations().lock(&caller.reach(), found.organization_id).await?)?;
    let role = find(tx.roles().lock(&caller.reach(), id).await?)?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_ROLES).await?;
    held.outranks(&role.gives())?;
    Ok((role, held))
}

fn find<T>(role: Option<T>) -> Result<T> {
    role.ok_or(Error::NotFound(Entity::Role))
}
