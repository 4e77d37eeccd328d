//! `UserService`.

use tonic::{Request, Response, Status, Streaming};

use super::{
    batch_response, called_by, called_to_act, called_to_stream, lists,
    own_data::Export,
    scope_of,
    stream::{Messages, stream},
    user_import::Import,
};
use crate::{
    app::{self, App, batch::BatchCall, event::StreamRights, streams::StreamKind},
    grpc::convert,
    models::{ExternalId, NormalizedEmail, Seen, User, UserId},
    pb::{self, user_service_server::UserService},
};

/// Full name of the client-streaming method.
const IMPORT_USERS: &str = "tenantry.v1.UserService.ImportUsers";

/// Serves `UserService`. The answers of methods for platform admins only have all of a user.
#[derive(Clone)]
pub struct UserHandler {
    app: App,
}

impl UserHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl UserService for UserHandler {
    type ImportUsersStream = Messages<pb::ImportUsersResponse>;
    type ExportOwnDataStream = Messages<pb::ExportOwnDataResponse>;

    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        let (call, new) = called_to_act(request, convert::user::create)?;
        let answer = |user| pb::CreateUserResponse { user: Some(Seen::whole(user).into()) };
        Ok(Response::new(app::user::create(&self.app, &call, new, answer).await?))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("user_id", &request.user_id)?;
        let user = app::user::get(&self.app, &caller, id).await?;
        Ok(Response::new(pb::GetUserResponse { user: Some(user.into()) }))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::user::list(lists, &request)?;
        let page = app::user::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (users, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let (call, (target, changes, access_token)) = called_to_act(request, convert::user::update)?;
        let answer = |updated: Seen<User>| pb::UpdateUserResponse { user: Some(updated.into()) };
        Ok(Response::new(app::user::update(&self.app, &call, &target, &changes, &access_token, answer).await?))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<UserId>("user_id", &r.user_id, r.etag))?;
        let answer = |(deleted, preview)| pb::DeleteUserResponse {
            user: Some(Seen::whole(deleted).into()),
            impact: convert::impact::optional(preview),
        };
        Ok(Response::new(app::user::delete(&self.app, &call, &target, answer).await?))
    }

    async fn get_user_by_email(
        &self,
        request: Request<pb::GetUserByEmailRequest>,
    ) -> Result<Response<pb::GetUserByEmailResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let email = convert::user::get_by_email(&request)?;
        let user = app::user::get_by_email(&self.app, &caller, &email).await?;
        Ok(Response::new(pb::GetUserByEmailResponse { user: Some(user.into()) }))
    }

    async fn get_user_by_external_id(
        &self,
        request: Request<pb::GetUserByExternalIdRequest>,
    ) -> Result<Response<pb::GetUserByExternalIdResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::user::get_by_external_id(&request)?;
        let user = app::user::get_by_external_id(&self.app, &caller, &id).await?;
        Ok(Response::new(pb::GetUserByExternalIdResponse { user: Some(user.into()) }))
    }

    async fn batch_get_users(
        &self,
        request: Request<pb::BatchGetUsersRequest>,
    ) -> Result<Response<pb::BatchGetUsersResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let batch = convert::user::batch_get(request)?;
        let ids: Vec<UserId> = batch.ids.iter().filter_map(|(_, id)| *id).collect();
        let emails: Vec<NormalizedEmail> =
            batch.emails.iter().filter_map(|(_, email)| Some(email.as_ref()?.normalized().clone())).collect();
        let external_ids: Vec<ExternalId> = batch.external_ids.iter().filter_map(|(_, id)| id.clone()).collect();
        let found = app::user::get_many(&self.app, &caller, &ids, &emails, &external_ids).await?;
        let results = convert::user::batch_results(batch, &found);
        Ok(Response::new(pb::BatchGetUsersResponse { results }))
    }

    async fn suspend_user(
        &self,
        request: Request<pb::SuspendUserRequest>,
    ) -> Result<Response<pb::SuspendUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<UserId>("user_id", &r.user_id, r.etag))?;
        let answer = |(suspended, preview)| pb::SuspendUserResponse {
            user: Some(Seen::whole(suspended).into()),
            impact: convert::impact::optional(preview),
        };
        Ok(Response::new(app::user::suspend(&self.app, &call, &target, answer).await?))
    }

    async fn reactivate_user(
        &self,
        request: Request<pb::ReactivateUserRequest>,
    ) -> Result<Response<pb::ReactivateUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<UserId>("user_id", &r.user_id, r.etag))?;
        let answer = |active| pb::ReactivateUserResponse { user: Some(Seen::whole(active).into()) };
        Ok(Response::new(app::user::reactivate(&self.app, &call, &target, answer).await?))
    }

    async fn undelete_user(
        &self,
        request: Request<pb::UndeleteUserRequest>,
    ) -> Result<Response<pb::UndeleteUserResponse>, Status> {
        let (call, (target, restoration)) = called_to_act(request, convert::user::undelete)?;
        let answer = |restored: app::user::Restored| pb::UndeleteUserResponse {
            user: Some(Seen::whole(restored.user).into()),
            unlinked_oauth_accounts: restored.unlinked.into_iter().map(Into::into).collect(),
        };
        Ok(Response::new(app::user::undelete(&self.app, &call, &target, &restoration, answer).await?))
    }

    async fn purge_user(
        &self,
        request: Request<pb::PurgeUserRequest>,
    ) -> Result<Response<pb::PurgeUserResponse>, Status> {
        let (call, (target, sole_organizations)) = called_to_act(request, |r| {
            Ok((convert::target::<UserId>("user_id", &r.user_id, r.etag)?, r.purge_sole_organizations))
        })?;
        let answer = |()| pb::PurgeUserResponse {};
        Ok(Response::new(app::user::purge(&self.app, &call, &target, sole_organizations, answer).await?))
    }

    async fn delete_own_user(
        &self,
        request: Request<pb::DeleteOwnUserRequest>,
    ) -> Result<Response<pb::DeleteOwnUserResponse>, Status> {
        let (call, deletion) = called_to_act(request, convert::user::delete_own)?;
        let answer = |deleted: app::own_user::Deleted| pb::DeleteOwnUserResponse {
            user: Some(pb::User::from(deleted.user)),
            deleted_organization_ids: deleted.organizations.iter().map(ToString::to_string).collect(),
        };
        Ok(Response::new(app::own_user::delete(&self.app, &call, deletion, answer).await?))
    }

    async fn export_own_data(
        &self,
        request: Request<pb::ExportOwnDataRequest>,
    ) -> Result<Response<Self::ExportOwnDataStream>, Status> {
        let scope = scope_of(&request)?;
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("user_id", &request.user_id)?;
        let rights = StreamRights { caller, scope };
        let (slot, data) = app::own_data::open(&self.app, &rights, id).await?;
        let export = Export { app: self.app.clone(), rights, data };
        let messages = stream(&self.app.shutdown, slot, self.app.policy.stream_timeout, |sender| export.send(sender));
        Ok(Response::new(messages))
    }

    async fn import_users(
        &self,
        request: Request<Streaming<pb::ImportUsersRequest>>,
    ) -> Result<Response<Self::ImportUsersStream>, Status> {
        let scope = scope_of(&request)?;
        let (call, batches) = called_to_stream(request, IMPORT_USERS)?;
        let slot = self.app.streams.open(&call.caller, StreamKind::Import)?;
        let import = Import { app: self.app.clone(), call, scope, batches };
        let answers = stream(&self.app.shutdown, slot, self.app.policy.stream_timeout, |sender| import.run(sender));
        Ok(Response::new(answers))
    }

    async fn grant_platform_admin(
        &self,
        request: Request<pb::GrantPlatformAdminRequest>,
    ) -> Result<Response<pb::GrantPlatformAdminResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<UserId>("user_id", &r.user_id, r.etag))?;
        let answer = |granted| pb::GrantPlatformAdminResponse { user: Some(Seen::whole(granted).into()) };
        Ok(Response::new(app::platform_admin::grant(&self.app, &call, &target, answer).await?))
    }

    async fn revoke_platform_admin(
        &self,
        request: Request<pb::RevokePlatformAdminRequest>,
    ) -> Result<Response<pb::RevokePlatformAdminResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target::<UserId>("user_id", &r.user_id, r.etag))?;
        let answer = |revoked| pb::RevokePlatformAdminResponse { user: Some(Seen::whole(revoked).into()) };
        Ok(Response::new(app::platform_admin::revoke(&self.app, &call, &target, answer).await?))
    }

    async fn batch_suspend_users(
        &self,
        request: Request<pb::BatchSuspendUsersRequest>,
    ) -> Result<Response<pb::BatchSuspendUsersResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) = called_to_act(request, |r| {
            convert::batch::items(r.requests, |r: pb::SuspendUserRequest| {
                convert::target::<UserId>("user_id", &r.user_id, r.etag)
            })
        })?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::suspended_users;
        Ok(batch_response(app::batch::suspend_users(&self.app, &called, &items, answer).await?))
    }

    async fn batch_reactivate_users(
        &self,
        request: Request<pb::BatchReactivateUsersRequest>,
    ) -> Result<Response<pb::BatchReactivateUsersResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) = called_to_act(request, |r| {
            convert::batch::items(r.requests, |r: pb::ReactivateUserRequest| {
                convert::target::<UserId>("user_id", &r.user_id, r.etag)
            })
        })?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::reactivated_users;
        Ok(batch_response(app::batch::reactivate_users(&self.app, &called, &items, answer).await?))
    }
}
