//! `InvitationService`.

use tonic::{Request, Response, Status};

use super::{batch_response, called_by, called_to_act, lists, scope_of};
use crate::{
    app::{self, App, batch::BatchCall, invitation::IssuedInvitation},
    grpc::convert,
    models::InvitationId,
    pb::{self, invitation_service_server::InvitationService},
};

/// Serves `InvitationService`.
#[derive(Clone)]
pub struct InvitationHandler {
    app: App,
}

impl InvitationHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl InvitationService for InvitationHandler {
    async fn create_invitation(
        &self,
        request: Request<pb::CreateInvitationRequest>,
    ) -> Result<Response<pb::CreateInvitationResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::invitation::create(&r))?;
        let answer = |issued: IssuedInvitation| pb::CreateInvitationResponse {
            invitation: Some(issued.invitation.into()),
            plaintext_token: issued.plaintext_token.expose().to_owned(),
        };
        Ok(Response::new(app::invitation::create(&self.app, &call, &new, answer).await?))
    }

    async fn get_invitation(
        &self,
        request: Request<pb::GetInvitationRequest>,
    ) -> Result<Response<pb::GetInvitationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let key = convert::invitation::get(request)?;
        let invitation = app::invitation::get(&self.app, &caller, &key).await?;
        Ok(Response::new(pb::GetInvitationResponse { invitation: Some(invitation.into()) }))
    }

    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Result<Response<pb::ListInvitationsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::invitation::list(lists, &request)?;
        let page = app::invitation::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (invitations, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListInvitationsResponse { invitations, next_page_token }))
    }

    async fn resend_invitation(
        &self,
        request: Request<pb::ResendInvitationRequest>,
    ) -> Result<Response<pb::ResendInvitationResponse>, Status> {
        let (call, (target, life)) = called_to_act(request, convert::invitation::resend)?;
        let answer = |issued: IssuedInvitation| pb::ResendInvitationResponse {
            invitation: Some(issued.invitation.into()),
            plaintext_token: issued.plaintext_token.expose().to_owned(),
        };
        Ok(Response::new(app::invitation::resend(&self.app, &call, &target, life, answer).await?))
    }

    async fn revoke_invitation(
        &self,
        request: Request<pb::RevokeInvitationRequest>,
    ) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<InvitationId>("invitation_id", &r.invitation_id, r.etag))?;
        let answer = |()| pb::RevokeInvitationResponse {};
        Ok(Response::new(app::invitation::revoke(&self.app, &call, &target, answer).await?))
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
        let (call, (key, user_id, access_token)) = called_to_act(request, convert::invitation::accept)?;
        let answer = |created| pb::AcceptInvitationResponse { membership: Some(pb::Membership::from(created)) };
        Ok(Response::new(app::invitation::accept(&self.app, &call, &key, user_id, &access_token, answer).await?))
    }

    async fn decline_invitation(
        &self,
        request: Request<pb::DeclineInvitationRequest>,
    ) -> Result<Response<pb::DeclineInvitationResponse>, Status> {
        let (call, (key, user_id)) = called_to_act(request, convert::invitation::decline)?;
        let answer = |()| pb::DeclineInvitationResponse {};
        Ok(Response::new(app::invitation::decline(&self.app, &call, &key, user_id, answer).await?))
    }

    async fn batch_create_invitations(
        &self,
        request: Request<pb::BatchCreateInvitationsRequest>,
    ) -> Result<Response<pb::BatchCreateInvitationsResponse>, Status> {
        let scope = scope_of(&request)?;
        let (call, items) =
            called_to_act(request, |r| convert::batch::items(r.requests, |r| convert::invitation::create(&r)))?;
        let called = BatchCall { call: &call, scope: &scope };
        let answer = convert::batch::created_invitations;
        Ok(batch_response(app::batch::create_invitations(&self.app, &called, &items, answer).await?))
    }
}
