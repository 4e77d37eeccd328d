//! `RoleService`.
//!
//! Every change of a role locks the organization first, as every change of a membership does: what a role gives and who has it are
//! decided by one call at a time.

use tonic::{Request, Response, Status};

use super::{authority, called_by, called_to_act, guards, lists};
use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result},
    grpc::convert,
    models::{Action, Caller, Held, Locked, Role, RoleId, RoleKey, permission},
    pb::{self, role_service_server::RoleService},
};

/// Most roles of an organization.
const MAX_ROLES: u32 = 100;

/// Answers `RoleService`.
#[derive(Clone)]
pub struct RoleHandler {
    app: App,
}

impl RoleHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

fn find<T>(role: Option<T>) -> Result<T> {
    role.ok_or(Error::NotFound(Entity::Role))
}

/// Locks a role behind its organization, and refuses a caller that may not change it or whose standing does not cover what it gives. Returns what
/// the caller holds.
async fn lock(tx: &mut Conn, caller: &Caller, id: RoleId) -> Result<(Locked<Role>, Held)> {
    let found = find(tx.roles().get(&caller.reach(), &RoleKey::Id(id)).await?)?;
    let organization = find(tx.organizations().lock(&caller.reach(), found.organization_id).await?)?;
    let role = find(tx.roles().lock(&caller.reach(), id).await?)?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_ROLES).await?;
    held.outranks(&role.gives())?;
    Ok((role, held))
}

#[tonic::async_trait]
impl RoleService for RoleHandler {
    async fn create_role(
        &self,
        request: Request<pb::CreateRoleRequest>,
    ) -> Result<Response<pb::CreateRoleResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::role::create(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let role = new.to_role(self.app.new_id(now), now);
        let create = self.app.change(&call, async |tx| {
            let organization = tx.organizations().lock(&caller.reach(), new.organization_id).await?;
            let organization = organization.ok_or(Error::NotFound(Entity::Organization))?;
            let held = guards::may_change(tx, caller, &organization, permission::WRITE_ROLES).await?;
            authority::permissions(tx, &held, None, &role.gives())?;
            guards::has_room(Limit::Roles, MAX_ROLES, tx.roles().count(&organization)).await?;
            tx.roles().insert(&organization, &role).await?;
            Ok(pb::CreateRoleResponse { role: Some(role.clone().into()) })
        });
        Ok(Response::new(create.await?))
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Result<Response<pb::GetRoleResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let key = convert::role::get(request)?;
        let role = find(self.app.db.read(async |conn| conn.roles().get(&caller.reach(), &key).await).await?)?;
        Ok(Response::new(pb::GetRoleResponse { role: Some(role.into()) }))
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::role::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            guards::visible_organization(conn, &caller, listing.filter).await?;
            conn.roles().list(&caller.reach(), listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (roles, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListRolesResponse { roles, next_page_token }))
    }

    async fn update_role(
        &self,
        request: Request<pb::UpdateRoleRequest>,
    ) -> Result<Response<pb::UpdateRoleResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::role::update)?;
        let (caller, now) = (&call.caller, self.app.now());
        let update = self.app.change(&call, async |tx| {
            let (mut role, held) = lock(tx, caller, target.id).await?;
            target.check_etag(&*role)?;
            let before = role.gives();
            role.apply(changes.clone());
            authority::permissions(tx, &held, Some(&before), &role.gives())?;
            let role = tx.roles().save(role, Action::RoleUpdated, now).await?;
            Ok(pb::UpdateRoleResponse { role: Some(role.into()) })
        });
        Ok(Response::new(update.await?))
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<pb::DeleteRoleResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<RoleId>("role_id", &r.role_id, r.etag))?;
        let caller = &call.caller;
        let delete = self.app.change(&call, async |tx| {
            let (role, _) = lock(tx, caller, target.id).await?;
            target.check_etag(&*role)?;
            if tx.roles().is_used(&role).await? {
                return Err(Error::Precondition(Precondition::RoleInUse));
            }
            tx.roles().delete(role).await?;
            Ok(pb::DeleteRoleResponse {})
        });
        Ok(Response::new(delete.await?))
    }
}
