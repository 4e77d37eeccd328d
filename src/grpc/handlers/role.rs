//! `RoleService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{self, App},
    grpc::convert,
    models::RoleId,
    pb::{self, role_service_server::RoleService},
};

/// Serves `RoleService`.
#[derive(Clone)]
pub struct RoleHandler {
    app: App,
}

impl RoleHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl RoleService for RoleHandler {
    async fn create_role(
        &self,
        request: Request<pb::CreateRoleRequest>,
    ) -> Result<Response<pb::CreateRoleResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::role::create(&r))?;
        let answer = |role| pb::CreateRoleResponse { role: Some(pb::Role::from(role)) };
        Ok(Response::new(app::role::create(&self.app, &call, &new, answer).await?))
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Result<Response<pb::GetRoleResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let key = convert::role::get(request)?;
        let role = app::role::get(&self.app, &caller, &key).await?;
        Ok(Response::new(pb::GetRoleResponse { role: Some(role.into()) }))
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::role::list(lists, &request)?;
        let page = app::role::list(&self.app, &caller, listing.filter, &listing.page).await?;
        let (roles, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListRolesResponse { roles, next_page_token }))
    }

    async fn update_role(
        &self,
        request: Request<pb::UpdateRoleRequest>,
    ) -> Result<Response<pb::UpdateRoleResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::role::update)?;
        let answer = |updated| pb::UpdateRoleResponse { role: Some(pb::Role::from(updated)) };
        Ok(Response::new(app::role::update(&self.app, &call, &target, &changes, answer).await?))
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<pb::DeleteRoleResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<RoleId>("role_id", &r.role_id, r.etag))?;
        let answer = |()| pb::DeleteRoleResponse {};
        Ok(Response::new(app::role::delete(&self.app, &call, &target, answer).await?))
    }
}
