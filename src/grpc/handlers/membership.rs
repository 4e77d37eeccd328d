//! `MembershipService`.

use tonic::{Request, Response, Status};

use super::{batch_response, called_by, called_to_act, lists, scope_of};
use crate::{
    app::{self, App, batch::BatchCall},
    grpc::convert,
    models::{MembershipId, Seen},
    pb::{self, membership_service_server::MembershipService},
};

/// Serves `MembershipService`.
#[derive(Clone)]
pub struct MembershipHandler {
    app: App,
}

impl MembershipHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl MembershipService for MembershipHandler {
    async fn create_membership(
        &self,
        request: Request<pb::CreateMembershipRequest>,
    ) -> Result<Response<pb::CreateMembershipResponse>, Status> {
        let (call, new) = called_to_act(request, convert::membership::create)?;
        // Only platform admins create memberships directly.
        let answer = |created| pb::CreateMembershipResponse { membership: Some(Seen::whole(created).into()) };
        Ok(Response::new(app::membership::create(&self.app, &call, &new, answer).await?))
    }

    async fn get_membership(
        &self,
        request: Request<pb::GetMembershipRequest>,
    ) -> Result<Response<pb::GetMembershipResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let key = convert::membership::get(request)?;
        let membership = app::membership::get(&self.app, &caller, &key).await?;
        Ok(Response::new(pb::GetMembershipResponse { membership: Some(membership.into()) }))
    }

    async fn list_memberships(
        &self,
        request: Request<pb::ListMembershipsRequest>,
    ) -> Result<Response<pb::ListMembershipsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::membership::list(lists, &request)?;
        let page = app::membership::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (memberships, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListMembershipsResponse { memberships, next_page_token }))
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::membership::list_members(lists, &request)?;
        let page = app::membership::list_members(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (members, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListMembersResponse { members, next_page_token }))
    }

    async fn count_members(
        &self,
        request: Request<pb::CountMembersRequest>,
    ) -> Result<Response<pb::CountMembersResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let (organization, state, roles) = convert::membership::count_members(&request)?;
        let count = app::membership::count_members(&self.app, &caller, organization, state, &roles).await?;
        Ok(Response::new(convert::membership::counted(count)))
    }

    async fn update_membership(
        &self,
        request: Request<pb::UpdateMembershipRequest>,
    ) -> Result<Response<pb::UpdateMembershipResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::membership::update)?;
        let answer = |(updated, preview): (Seen<_>, _)| pb::UpdateMembershipResponse {
            membership: Some(updated.into()),
            impact: convert::impact::optional(preview),
        };
        Ok(Response::new(app::membership::update(&self.app, &call, &target, &changes, answer).await?))
    }

    async fn delete_membership(
        &self,
        request: Request<pb::DeleteMembershipRequest>,
    ) -> Result<Response<pb::DeleteMembershipResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<MembershipId>("membership_id", &r.membership_id, r.etag))?;
        let answer = |()| pb::DeleteMembershipResponse {};
        Ok(Response::new(app::membership::delete(&self.app, &call, &target, answer).await?))
    }

    async fn disable_membership(
        &self,
        request: Request<pb::DisableMembershipRequest>,
    ) -> Result<Response<pb::DisableMembershipResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<MembershipId>("membership_id", &r.membership_id, r.etag))?;
        let answer = |updated| pb::DisableMembershipResponse { membership: Some(pb::Membership::from(updated)) };
        Ok(Response::new(app::membership::disable(&self.app, &call, &target, answer).await?))
    }

    async fn enable_membership(
        &self,
        request: Request<pb::EnableMembershipRequest>,
    ) -> Result<Response<pb::EnableMembershipResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<MembershipId>("membership_id", &r.membership_id, r.etag))?;
        let answer = |updated| pb::EnableMembershipResponse { membership: Some(pb::Membership::from(updated)) };
        Ok(Response::new(app::membership::enable(&self.app, &call, &target, answer).await?))
    }

    async fn batch_create_memberships(
        &self,
        request: Request<pb::BatchCreateMembershipsRequest>,
    ) -> Result<Response<pb::BatchCreateMembershipsResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) = called_to_act(request, |r| convert::batch::items(r.requests, convert::membership::create))?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::created_memberships;
        Ok(batch_response(app::batch::create_memberships(&self.app, &called, &items, answer).await?))
    }

    async fn batch_update_memberships(
        &self,
        request: Request<pb::BatchUpdateMembershipsRequest>,
    ) -> Result<Response<pb::BatchUpdateMembershipsResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) = called_to_act(request, |r| convert::batch::items(r.requests, convert::membership::update))?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::updated_memberships;
        Ok(batch_response(app::batch::update_memberships(&self.app, &called, &items, answer).await?))
    }

    async fn batch_delete_memberships(
        &self,
        request: Request<pb::BatchDeleteMembershipsRequest>,
    ) -> Result<Response<pb::BatchDeleteMembershipsResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) = called_to_act(request, |r| {
            convert::batch::items(r.requests, |r: pb::DeleteMembershipRequest| {
                convert::target::<MembershipId>("membership_id", &r.membership_id, r.etag)
            })
        })?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::deleted_memberships;
        Ok(batch_response(app::batch::delete_memberships(&self.app, &called, &items, answer).await?))
    }
}
