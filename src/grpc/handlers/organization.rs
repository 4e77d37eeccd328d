//! `OrganizationService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{self, App},
    grpc::convert,
    models::{ExternalId, OrganizationId, Seen},
    pb::{self, organization_service_server::OrganizationService},
};

/// Serves `OrganizationService`.
#[derive(Clone)]
pub struct OrganizationHandler {
    app: App,
}

impl OrganizationHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl OrganizationService for OrganizationHandler {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        let (call, new) = called_to_act(request, convert::organization::create)?;
        let answer = |created: app::organization::Created| pb::CreateOrganizationResponse {
            organization: Some(created.organization.into()),
            owner_membership_id: created.owner_membership_id.to_string(),
        };
        Ok(Response::new(app::organization::create(&self.app, &call, &new, answer).await?))
    }

    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::GetOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("organization_id", &request.organization_id)?;
        let organization = app::organization::get(&self.app, &caller, id).await?;
        Ok(Response::new(pb::GetOrganizationResponse { organization: Some(organization.into()) }))
    }

    async fn list_organizations(
        &self,
        request: Request<pb::ListOrganizationsRequest>,
    ) -> Result<Response<pb::ListOrganizationsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::organization::list(lists, &request)?;
        let page = app::organization::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (organizations, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::UpdateOrganizationResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::organization::update)?;
        let answer = |updated: Seen<_>| pb::UpdateOrganizationResponse { organization: Some(updated.into()) };
        Ok(Response::new(app::organization::update(&self.app, &call, &target, &changes, answer).await?))
    }

    async fn delete_organization(
        &self,
        request: Request<pb::DeleteOrganizationRequest>,
    ) -> Result<Response<pb::DeleteOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |(deleted, preview): (Seen<_>, _)| pb::DeleteOrganizationResponse {
            organization: Some(deleted.into()),
            impact: convert::impact::optional(preview),
        };
        Ok(Response::new(app::organization::delete(&self.app, &call, &target, answer).await?))
    }

    async fn get_organization_by_slug(
        &self,
        request: Request<pb::GetOrganizationBySlugRequest>,
    ) -> Result<Response<pb::GetOrganizationBySlugResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let slug = convert::organization::get_by_slug(&request)?;
        let (organization, is_former_slug) = app::organization::get_by_slug(&self.app, &caller, &slug).await?;
        let organization = Some(organization.into());
        Ok(Response::new(pb::GetOrganizationBySlugResponse { organization, is_former_slug }))
    }

    async fn get_organization_by_external_id(
        &self,
        request: Request<pb::GetOrganizationByExternalIdRequest>,
    ) -> Result<Response<pb::GetOrganizationByExternalIdResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::organization::get_by_external_id(&request)?;
        let organization = app::organization::get_by_external_id(&self.app, &caller, &id).await?;
        Ok(Response::new(pb::GetOrganizationByExternalIdResponse { organization: Some(organization.into()) }))
    }

    async fn batch_get_organizations(
        &self,
        request: Request<pb::BatchGetOrganizationsRequest>,
    ) -> Result<Response<pb::BatchGetOrganizationsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let batch = convert::organization::batch_get(request)?;
        let ids: Vec<OrganizationId> = batch.ids.iter().filter_map(|(_, id)| *id).collect();
        let external_ids: Vec<ExternalId> = batch.external_ids.iter().filter_map(|(_, id)| id.clone()).collect();
        let found = app::organization::get_many(&self.app, &caller, &ids, &external_ids).await?;
        let results = convert::organization::batch_results(batch, &found);
        Ok(Response::new(pb::BatchGetOrganizationsResponse { results }))
    }

    async fn suspend_organization(
        &self,
        request: Request<pb::SuspendOrganizationRequest>,
    ) -> Result<Response<pb::SuspendOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |(suspended, preview)| pb::SuspendOrganizationResponse {
            organization: Some(Seen::whole(suspended).into()),
            impact: convert::impact::optional(preview),
        };
        Ok(Response::new(app::organization::suspend(&self.app, &call, &target, answer).await?))
    }

    async fn reactivate_organization(
        &self,
        request: Request<pb::ReactivateOrganizationRequest>,
    ) -> Result<Response<pb::ReactivateOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |active| pb::ReactivateOrganizationResponse { organization: Some(Seen::whole(active).into()) };
        Ok(Response::new(app::organization::reactivate(&self.app, &call, &target, answer).await?))
    }

    async fn undelete_organization(
        &self,
        request: Request<pb::UndeleteOrganizationRequest>,
    ) -> Result<Response<pb::UndeleteOrganizationResponse>, Status> {
        let (call, (target, restore_api_keys, changes)) = called_to_act(request, convert::organization::undelete)?;
        let answer = |restored| pb::UndeleteOrganizationResponse { organization: Some(Seen::whole(restored).into()) };
        let restored = app::organization::undelete(&self.app, &call, &target, restore_api_keys, &changes, answer);
        Ok(Response::new(restored.await?))
    }

    async fn purge_organization(
        &self,
        request: Request<pb::PurgeOrganizationRequest>,
    ) -> Result<Response<pb::PurgeOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |()| pb::PurgeOrganizationResponse {};
        Ok(Response::new(app::organization::purge(&self.app, &call, &target, answer).await?))
    }

    async fn transfer_ownership(
        &self,
        request: Request<pb::TransferOwnershipRequest>,
    ) -> Result<Response<pb::TransferOwnershipResponse>, Status> {
        let (call, transfer) = called_to_act(request, |r| convert::organization::transfer(&r))?;
        let answer = |transferred: app::organization::Transferred| pb::TransferOwnershipResponse {
            new_owner: Some(transferred.new_owner.into()),
            former_owner: Some(transferred.former_owner.into()),
            impact: convert::impact::optional(transferred.preview),
        };
        Ok(Response::new(app::organization::transfer_ownership(&self.app, &call, &transfer, answer).await?))
    }

    async fn leave_organization(
        &self,
        request: Request<pb::LeaveOrganizationRequest>,
    ) -> Result<Response<pb::LeaveOrganizationResponse>, Status> {
        let (call, id) =
            called_to_act(request, |r| convert::id_of::<OrganizationId>("organization_id", &r.organization_id))?;
        let answer = |()| pb::LeaveOrganizationResponse {};
        Ok(Response::new(app::organization::leave(&self.app, &call, id, answer).await?))
    }
}
