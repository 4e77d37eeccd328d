//! Roles.
//!
//! Like every change of a membership, every change of a role locks the organization first, so that one call at a time decides what a
//! role gives and who has it.

use uuid::Uuid;

use super::{App, authority, change::Answer, guards, target::Target};
use crate::{
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result, Taken},
    models::{
        Action, BuiltInRole, Call, Caller, Cursor, HeldPermissions, NewRole, OrganizationId, Page, PageRequest, Role,
        RoleChanges, RoleId, RoleKey, RoleOf, permission,
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
            authority::permissions(tx, caller, &held, None, &role.gives())?;
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

/// Gets a role by its id, or by its organization and name. A built-in role is found in every organization that the caller sees.
pub async fn get(app: &App, caller: &Caller, key: &RoleKey) -> Result<RoleOf> {
    if let RoleKey::Named(organization_id, name) = key
        && let Some(role) = BuiltInRole::named(name.as_str())
    {
        find(app.organizations.get(caller.reach(), *organization_id).await?)?;
        return Ok(RoleOf::BuiltIn(*organization_id, role));
    }
    find(app.db.read(async |conn| conn.roles().get(&caller.reach(), key).await).await?).map(RoleOf::Custom)
}

/// Lists a page of the roles of an organization: the built-in ones first.
pub async fn list(
    app: &App,
    caller: &Caller,
    organization_id: OrganizationId,
    page: &PageRequest,
) -> Result<Page<RoleOf>> {
    let list = app.db.scan(async |conn| {
        guards::visible_organization(conn, caller, organization_id).await?;
        let built_in = built_in_after(page.after.as_ref());
        let mut rows: Vec<(Cursor, RoleOf)> = built_in.iter().map(|role| row(organization_id, *role)).collect();
        rows.truncate(page.size);
        let is_full = rows.len() < built_in.len();
        // Asked for no more rows than the page has room for, the rest says only whether another page follows.
        let after = page.after.clone().filter(|cursor| cursor.text.is_none());
        let rest = PageRequest { after, ..PageRequest::first(page.size.saturating_sub(rows.len())) };
        let custom = conn.roles().list(&caller.reach(), organization_id, &rest).await?;
        rows.extend(custom.rows.into_iter().map(|(cursor, role)| (cursor, RoleOf::Custom(role))));
        Ok(Page { rows, has_more: is_full || custom.has_more, searched_to: None })
    });
    list.await
}

/// A built-in role with its position. It has no id: its name is its position.
fn row(organization_id: OrganizationId, role: BuiltInRole) -> (Cursor, RoleOf) {
    (Cursor::by_text((role.as_str().to_owned(), Uuid::nil())), RoleOf::BuiltIn(organization_id, role))
}

/// The built-in roles after a position: none after a custom role.
fn built_in_after(after: Option<&Cursor>) -> &'static [BuiltInRole] {
    const ALL: &[BuiltInRole] = &BuiltInRole::ALL;
    match after {
        None => ALL,
        Some(Cursor { text: Some(name), .. }) => {
            let at = ALL.iter().position(|role| role.as_str() == name);
            at.and_then(|at| ALL.get(at.saturating_add(1)..)).unwrap_or_default()
        }
        Some(Cursor { text: None, .. }) => &[],
    }
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
            authority::permissions(tx, &call.caller, &held, Some(&before), &role.gives())?;
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
