//! `OrganizationService`.

use std::collections::HashMap;

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{self, App},
    error::Entity,
    grpc::{convert, status::not_found},
    models::OrganizationId,
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
        let answer = |updated| pb::UpdateOrganizationResponse { organization: Some(pb::Organization::from(updated)) };
        Ok(Response::new(app::organization::update(&self.app, &call, &target, &changes, answer).await?))
    }

    async fn delete_organization(
        &self,
        request: Request<pb::DeleteOrganizationRequest>,
    ) -> Result<Response<pb::DeleteOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |(deleted, preview)| pb::DeleteOrganizationResponse {
            organization: Some(pb::Organization::from(deleted)),
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

    async fn batch_get_organizations(
        &self,
        request: Request<pb::BatchGetOrganizationsRequest>,
    ) -> Result<Response<pb::BatchGetOrganizationsResponse>, Status> {
        use pb::batch_get_organizations_result::Outcome;
        let (caller, request) = called_by(request)?;
        let batch = convert::batch("organization_ids", request.organization_ids)?;
        let ids: Vec<OrganizationId> = batch.iter().filter_map(|(_, id)| *id).collect();
        let found = app::organization::get_many(&self.app, &caller, &ids).await?;
        let found: HashMap<OrganizationId, pb::Organization> =
            found.into_iter().map(|organization| (organization.id, organization.into())).collect();
        let results = batch.into_iter().map(|(organization_id, id)| {
            let outcome = match id.map(|id| found.get(&id)) {
                Some(Some(organization)) => Outcome::Organization(organization.clone()),
                Some(None) => Outcome::Error(not_found(Entity::Organization).into()),
                None => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
            };
            pb::BatchGetOrganizationsResult { organization_id, outcome: Some(outcome) }
        });
        Ok(Response::new(pb::BatchGetOrganizationsResponse { results: results.collect() }))
    }

    async fn suspend_organization(
        &self,
        request: Request<pb::SuspendOrganizationRequest>,
    ) -> Result<Response<pb::SuspendOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |(suspended, preview)| pb::SuspendOrganizationResponse {
            organization: Some(pb::Organization::from(suspended)),
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
        let answer = |active| pb::ReactivateOrganizationResponse { organization: Some(pb::Organization::from(active)) };
        Ok(Response::new(app::organization::reactivate(&self.app, &call, &target, answer).await?))
    }

    async fn undelete_organization(
        &self,
        request: Request<pb::UndeleteOrganizationRequest>,
    ) -> Result<Response<pb::UndeleteOrganizationResponse>, Status> {
        let (call, (target, restore_api_keys, slug)) = called_to_act(request, convert::organization::undelete)?;
        let answer =
            |restored| pb::UndeleteOrganizationResponse { organization: Some(pb::Organization::from(restored)) };
        let slug = slug.as_ref();
        Ok(Response::new(app::organization::undelete(&self.app, &call, &target, restore_api_keys, slug, answer).await?))
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
