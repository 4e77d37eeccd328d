//! `OrganizationService`.

use std::collections::HashMap;

use tonic::{Request, Response, Status};

use super::{called_by, guards, lists};
use crate::{
    context::App,
    convert,
    error::{Entity, Error, Result, Taken},
    models::{
        Caller, Locked, Membership, NewMembership, NewOrganization, Organization, OrganizationId, OrganizationState,
        Permissions, Plan, Rank, Role, Slug,
    },
    pb::{self, organization_service_server::OrganizationService},
    security::random,
    status::not_found,
};

/// How many endings are tried for a slug made of a name that is taken.
const SLUG_ATTEMPTS: usize = 5;

/// Answers `OrganizationService`.
#[derive(Clone)]
pub struct OrganizationHandler {
    app: App,
}

impl OrganizationHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Stores a new organization with its owner's membership.
    async fn create(&self, caller: &Caller, new: &NewOrganization, slug: Slug) -> Result<(Organization, Membership)> {
        let now = self.app.now();
        let organization = new.to_organization(self.app.new_id(now), slug, now);
        let owner = NewMembership {
            user_id: new.owner_user_id,
            organization_id: organization.id,
            role: Role::owner(),
            permissions: Permissions::default(),
        };
        let membership = owner.to_membership(self.app.new_id(now), now);
        let create = self.app.db.transaction(async |tx| {
            let user =
                tx.users().lock(&caller.reach(), new.owner_user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            if caller.user_id() != Some(user.id) || new.plan != Plan::Free {
                guards::platform_admin(caller)?;
            }
            guards::active_user(&user)?;
            tx.organizations().insert(&organization).await?;
            tx.memberships().insert(&membership).await
        });
        create.await?;
        Ok((organization, membership))
    }

    /// Locks the target organization, checks its etag, and stores it with another state.
    async fn set_state(
        &self,
        caller: &Caller,
        target: &convert::Target<OrganizationId>,
        state: OrganizationState,
    ) -> Result<pb::Organization> {
        let now = self.app.now();
        let organization = self.app.db.transaction(async |tx| {
            let mut organization = find(tx.organizations().lock(&caller.reach(), target.id).await?)?;
            target.check_etag(&*organization)?;
            if organization.state == state {
                return Ok(organization.into_inner());
            }
            organization.state = state;
            tx.organizations().save(organization, now).await
        });
        organization.await.map(pb::Organization::from)
    }
}

fn find<T>(organization: Option<T>) -> Result<T> {
    organization.ok_or(Error::NotFound(Entity::Organization))
}

#[tonic::async_trait]
impl OrganizationService for OrganizationHandler {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let new = convert::organization::create(request)?;
        let mut created =
            self.create(&caller, &new, new.slug.clone().unwrap_or_else(|| Slug::of_name(&new.name))).await;
        for _ in 0..SLUG_ATTEMPTS {
            // A slug that the caller chose is the caller's to change; one of ours gets another ending.
            if new.slug.is_some() || !matches!(created, Err(Error::Taken(Taken::OrganizationSlug))) {
                break;
            }
            created = self.create(&caller, &new, Slug::of_name_with_ending(&new.name, &random::base62(8))).await;
        }
        let (organization, membership) = created?;
        Ok(Response::new(pb::CreateOrganizationResponse {
            organization: Some(organization.into()),
            owner_membership_id: membership.id.to_string(),
        }))
    }

    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::GetOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("organization_id", &request.organization_id)?;
        let organization = find(self.app.db.read().await?.organizations().get(&caller.reach(), id).await?)?;
        Ok(Response::new(pb::GetOrganizationResponse { organization: Some(organization.into()) }))
    }

    async fn list_organizations(
        &self,
        request: Request<pb::ListOrganizationsRequest>,
    ) -> Result<Response<pb::ListOrganizationsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::organization::list(lists, &request)?;
        guards::may_list(&caller, &listing.filter.state)?;
        let mut conn = self.app.db.read().await?;
        if let Some(id) = listing.filter.member_user_id {
            guards::visible_user(&mut conn, &caller, id).await?;
        }
        let page = conn.organizations().list(&caller.reach(), &listing.filter, &listing.page).await?;
        let (organizations, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::UpdateOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let (target, changes) = convert::organization::update(request)?;
        let now = self.app.now();
        let organization = self.app.db.transaction(async |tx| {
            let mut organization = find(tx.organizations().lock(&caller.reach(), target.id).await?)?;
            guards::may_change(tx, &caller, &organization, Rank::Admin).await?;
            if changes.plan.is_some() {
                guards::platform_admin(&caller)?;
            }
            target.check_etag(&*organization)?;
            organization.apply(changes.clone());
            tx.organizations().save(organization, now).await
        });
        let organization = organization.await?;
        Ok(Response::new(pb::UpdateOrganizationResponse { organization: Some(organization.into()) }))
    }

    async fn delete_organization(
        &self,
        request: Request<pb::DeleteOrganizationRequest>,
    ) -> Result<Response<pb::DeleteOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let target = convert::target::<OrganizationId>("organization_id", &request.organization_id, request.etag)?;
        let now = self.app.now();
        let organization = self.app.db.transaction(async |tx| {
            let mut organization = find(tx.organizations().lock(&caller.reach(), target.id).await?)?;
            guards::may_change(tx, &caller, &organization, Rank::Owner).await?;
            target.check_etag(&*organization)?;
            organization.deleted_at = Some(now);
            tx.organizations().save(organization, now).await
        });
        let organization = organization.await?;
        Ok(Response::new(pb::DeleteOrganizationResponse { organization: Some(organization.into()) }))
    }

    async fn get_organization_by_slug(
        &self,
        request: Request<pb::GetOrganizationBySlugRequest>,
    ) -> Result<Response<pb::GetOrganizationBySlugResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let slug = convert::organization::get_by_slug(&request)?;
        let organization = self.app.db.read().await?.organizations().get_by_slug(&caller.reach(), &slug).await?;
        Ok(Response::new(pb::GetOrganizationBySlugResponse { organization: Some(find(organization)?.into()) }))
    }

    async fn batch_get_organizations(
        &self,
        request: Request<pb::BatchGetOrganizationsRequest>,
    ) -> Result<Response<pb::BatchGetOrganizationsResponse>, Status> {
        use pb::batch_get_organizations_result::Outcome;
        let (caller, request) = called_by(request)?;
        let batch = convert::batch("organization_ids", request.organization_ids)?;
        let ids: Vec<OrganizationId> = batch.iter().filter_map(|(_, id)| *id).collect();
        let found = self.app.db.read().await?.organizations().get_many(&caller.reach(), &ids).await?;
        let found: HashMap<OrganizationId, pb::Organization> =
            found.into_iter().map(|row| (row.id, row.into())).collect();
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
        let (caller, request) = called_by(request)?;
        let target = convert::target("organization_id", &request.organization_id, request.etag)?;
        let organization = self.set_state(&caller, &target, OrganizationState::Suspended).await?;
        Ok(Response::new(pb::SuspendOrganizationResponse { organization: Some(organization) }))
    }

    async fn reactivate_organization(
        &self,
        request: Request<pb::ReactivateOrganizationRequest>,
    ) -> Result<Response<pb::ReactivateOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let target = convert::target("organization_id", &request.organization_id, request.etag)?;
        let organization = self.set_state(&caller, &target, OrganizationState::Active).await?;
        Ok(Response::new(pb::ReactivateOrganizationResponse { organization: Some(organization) }))
    }

    async fn undelete_organization(
        &self,
        request: Request<pb::UndeleteOrganizationRequest>,
    ) -> Result<Response<pb::UndeleteOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let target = convert::target::<OrganizationId>("organization_id", &request.organization_id, request.etag)?;
        let now = self.app.now();
        let restorable_since = now.before(self.app.policy.restore_window);
        let organization = self.app.db.transaction(async |tx| {
            let mut organization = find(tx.organizations().lock_also_deleted(&caller.reach(), target.id).await?)?;
            match organization.deleted_at {
                Some(deleted_at) if deleted_at < restorable_since => Err(Error::NotFound(Entity::Organization)),
                Some(_) => {
                    target.check_etag(&*organization)?;
                    guards::has_owner(tx, vec![organization.id], None).await?;
                    organization.deleted_at = None;
                    tx.organizations().save(organization, now).await
                }
                None => Ok(organization.into_inner()),
            }
        });
        Ok(Response::new(pb::UndeleteOrganizationResponse { organization: Some(organization.await?.into()) }))
    }

    async fn purge_organization(
        &self,
        request: Request<pb::PurgeOrganizationRequest>,
    ) -> Result<Response<pb::PurgeOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let target = convert::target::<OrganizationId>("organization_id", &request.organization_id, request.etag)?;
        let purge = self.app.db.transaction(async |tx| {
            let organization: Locked<Organization> =
                find(tx.organizations().lock_also_deleted(&caller.reach(), target.id).await?)?;
            target.check_etag(&*organization)?;
            tx.organizations().delete(organization).await
        });
        purge.await?;
        Ok(Response::new(pb::PurgeOrganizationResponse {}))
    }
}
