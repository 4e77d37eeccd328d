//! `OrganizationService`.

use std::collections::HashMap;

use prost::Message;
use tonic::{Request, Response, Status};

use super::{authority, called_by, called_to_act, ending, guards, lists, rehearsal::Rehearsal};
use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Result, Taken},
    grpc::{convert, status::not_found},
    models::{
        Action, Call, Caller, Held, Impact, Locked, Membership, MembershipKey, NewMembership, NewOrganization,
        OrganizationId, OrganizationState, Permissions, Plan, RoleName, Slug, UserId, permission,
    },
    pb::{self, organization_service_server::OrganizationService},
    security::random,
};

/// How many endings are tried for a slug made of a name that is taken.
const SLUG_ATTEMPTS: usize = 5;

/// Why the keys of a restored organization are revoked.
const RESTORED: &str = "the organization was deleted and restored";

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
    async fn create(&self, call: &Call, new: &NewOrganization, slug: Slug) -> Result<pb::CreateOrganizationResponse> {
        let (caller, now) = (&call.caller, self.app.now());
        let organization = new.to_organization(self.app.new_id(now), slug, now);
        let owner = NewMembership {
            user_id: new.owner_user_id,
            organization_id: organization.id,
            role: RoleName::owner(),
            permissions: Permissions::default(),
        };
        let membership = owner.to_membership(self.app.new_id(now), now);
        let create = self.app.change(call, async |tx| {
            let user =
                tx.users().lock(&caller.reach(), new.owner_user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            if caller.user_id() != Some(user.id) || new.plan != Plan::Free {
                guards::platform_admin(caller)?;
            }
            guards::active_user(&user)?;
            guards::may_own_another(tx, caller, &user, self.app.policy.max_organizations).await?;
            guards::may_join_another(tx, caller, &user).await?;
            tx.organizations().insert(&organization, user.id).await?;
            authority::own_organization(tx);
            tx.memberships().insert(&membership).await?;
            Ok(pb::CreateOrganizationResponse {
                organization: Some(organization.clone().into()),
                owner_membership_id: membership.id.to_string(),
            })
        });
        create.await
    }

    /// Locks the target organization, checks its etag, and stores it with another state.
    async fn set_state<A: Message + Default>(
        &self,
        call: &Call,
        target: &convert::Target<OrganizationId>,
        state: OrganizationState,
        answer: fn(Option<pb::Organization>, Option<pb::Impact>) -> A,
    ) -> Result<Response<A>, Status> {
        let now = self.app.now();
        let set = self.app.change(call, async |tx| {
            let mut organization = find(tx.organizations().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*organization)?;
            if state == OrganizationState::Active {
                authority::standing_of_organization(tx, &call.caller)?;
            }
            let is_new = organization.state != state;
            organization.state = state;
            let count =
                async { if is_new { tx.organizations().impact(&organization).await } else { Ok(Impact::default()) } };
            let impact = Rehearsal::of(call).impact(count).await?;
            if impact.is_some() || !is_new {
                return Ok(answer(Some(organization.into_inner().into()), impact));
            }
            let action = match state {
                OrganizationState::Active => Action::OrganizationReactivated,
                OrganizationState::Suspended => Action::OrganizationSuspended,
            };
            Ok(answer(Some(tx.organizations().save(organization, action, now).await?.into()), None))
        });
        Ok(Response::new(set.await?))
    }
}

fn find<T>(organization: Option<T>) -> Result<T> {
    organization.ok_or(Error::NotFound(Entity::Organization))
}

/// Locks the membership of a user in a locked organization.
async fn lock_membership(
    tx: &mut Conn,
    caller: &Caller,
    user: UserId,
    organization: OrganizationId,
) -> Result<Locked<Membership>> {
    let locked = tx.memberships().lock(&caller.reach(), MembershipKey::Ends(user, organization)).await?;
    locked.ok_or(Error::NotFound(Entity::Membership))
}

#[tonic::async_trait]
impl OrganizationService for OrganizationHandler {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        let (call, new) = called_to_act(request, convert::organization::create)?;
        let mut created = self.create(&call, &new, new.slug.clone().unwrap_or_else(|| Slug::of_name(&new.name))).await;
        for _ in 0..SLUG_ATTEMPTS {
            // A slug that the caller chose is the caller's to change; one of ours gets another ending.
            if new.slug.is_some() || !matches!(created, Err(Error::Taken(Taken::OrganizationSlug))) {
                break;
            }
            created = self.create(&call, &new, Slug::of_name_with_ending(&new.name, &random::base62(8))).await;
        }
        Ok(Response::new(created?))
    }

    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::GetOrganizationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("organization_id", &request.organization_id)?;
        let organization = find(self.app.organizations.get(caller.reach(), id).await?)?;
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
        let page = self.app.db.scan(async |conn| {
            if let Some(id) = listing.filter.member_user_id {
                guards::visible_user(conn, &caller, id).await?;
            }
            conn.organizations().list(&caller.reach(), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (organizations, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::UpdateOrganizationResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::organization::update)?;
        let (caller, now) = (&call.caller, self.app.now());
        let update = self.app.change(&call, async |tx| {
            let mut organization = find(tx.organizations().lock(&caller.reach(), target.id).await?)?;
            guards::may_change(tx, caller, &organization, permission::WRITE_ORGANIZATION).await?;
            if changes.plan.is_some() {
                guards::platform_admin(caller)?;
            }
            target.check_etag(&*organization)?;
            organization.apply(changes.clone());
            let organization = tx.organizations().save(organization, Action::OrganizationUpdated, now).await?;
            Ok(pb::UpdateOrganizationResponse { organization: Some(organization.into()) })
        });
        Ok(Response::new(update.await?))
    }

    async fn delete_organization(
        &self,
        request: Request<pb::DeleteOrganizationRequest>,
    ) -> Result<Response<pb::DeleteOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let (caller, now) = (&call.caller, self.app.now());
        let delete = self.app.change(&call, async |tx| {
            let mut organization = find(tx.organizations().lock(&caller.reach(), target.id).await?)?;
            let mut rehearsal = Rehearsal::of(&call);
            guards::may(tx, caller, organization.id, permission::DELETE_ORGANIZATION).await?;
            rehearsal.rule(guards::is_open_to(caller, &organization))?;
            target.check_etag(&*organization)?;
            organization.deleted_at = Some(now);
            let impact = rehearsal.impact(tx.organizations().impact(&organization)).await?;
            let organization = if impact.is_some() {
                organization.into_inner()
            } else {
                tx.refresh_tokens().end_of_organization(organization.id, now).await?;
                tx.organizations().save(organization, Action::OrganizationDeleted, now).await?
            };
            Ok(pb::DeleteOrganizationResponse { organization: Some(organization.into()), impact })
        });
        Ok(Response::new(delete.await?))
    }

    async fn get_organization_by_slug(
        &self,
        request: Request<pb::GetOrganizationBySlugRequest>,
    ) -> Result<Response<pb::GetOrganizationBySlugResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let slug = convert::organization::get_by_slug(&request)?;
        let organization =
            self.app.db.read(async |conn| conn.organizations().get_by_slug(&caller.reach(), &slug).await).await?;
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
        let found = self.app.db.read(async |conn| conn.organizations().get_many(&caller.reach(), &ids).await).await?;
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
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |organization, impact| pb::SuspendOrganizationResponse { organization, impact };
        self.set_state(&call, &target, OrganizationState::Suspended, answer).await
    }

    async fn reactivate_organization(
        &self,
        request: Request<pb::ReactivateOrganizationRequest>,
    ) -> Result<Response<pb::ReactivateOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let answer = |organization, _| pb::ReactivateOrganizationResponse { organization };
        self.set_state(&call, &target, OrganizationState::Active, answer).await
    }

    async fn undelete_organization(
        &self,
        request: Request<pb::UndeleteOrganizationRequest>,
    ) -> Result<Response<pb::UndeleteOrganizationResponse>, Status> {
        let (call, (target, restore_api_keys)) = called_to_act(request, |r| {
            let target = convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)?;
            Ok((target, r.restore_api_keys))
        })?;
        let now = self.app.now();
        let restorable_since = now.before(self.app.policy.restore_window);
        let undelete = self.app.change(&call, async |tx| {
            let mut organization = find(tx.organizations().lock_also_deleted(&call.caller.reach(), target.id).await?)?;
            let organization = match organization.deleted_at {
                Some(deleted_at) if deleted_at < restorable_since => return Err(Error::NotFound(Entity::Organization)),
                Some(_) => {
                    target.check_etag(&*organization)?;
                    guards::has_owner(tx, vec![organization.id], None).await?;
                    authority::standing_of_organization(tx, &call.caller)?;
                    if !restore_api_keys {
                        tx.api_keys().revoke_of_organization(&organization, RESTORED, now).await?;
                    }
                    organization.deleted_at = None;
                    tx.organizations().save(organization, Action::OrganizationUndeleted, now).await?
                }
                None => organization.into_inner(),
            };
            Ok(pb::UndeleteOrganizationResponse { organization: Some(organization.into()) })
        });
        Ok(Response::new(undelete.await?))
    }

    async fn purge_organization(
        &self,
        request: Request<pb::PurgeOrganizationRequest>,
    ) -> Result<Response<pb::PurgeOrganizationResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OrganizationId>("organization_id", &r.organization_id, r.etag)
        })?;
        let purge = self.app.change(&call, async |tx| {
            let organization = find(tx.organizations().lock_also_deleted(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*organization)?;
            tx.organizations().delete(organization).await?;
            Ok(pb::PurgeOrganizationResponse {})
        });
        Ok(Response::new(purge.await?))
    }

    async fn transfer_ownership(
        &self,
        request: Request<pb::TransferOwnershipRequest>,
    ) -> Result<Response<pb::TransferOwnershipResponse>, Status> {
        let (call, transfer) = called_to_act(request, |r| convert::organization::transfer(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let from = transfer.from.or(caller.user_id());
        let from = from.ok_or(Error::invalid("former_owner_user_id", "must be a UUID"))?;
        if from == transfer.to {
            return Err(Error::invalid("new_owner_user_id", "must not be the former owner").into());
        }
        let transfer_ownership = self.app.change(&call, async |tx| {
            let mut rehearsal = Rehearsal::of(&call);
            let most = self.app.policy.max_organizations;
            rehearsal.rule(guards::lock_new_owner(tx, caller, transfer.to, most).await)?;
            let organization = find(tx.organizations().lock(&caller.reach(), transfer.organization_id).await?)?;
            let held = guards::may(tx, caller, organization.id, permission::TRANSFER_ORGANIZATION).await?;
            rehearsal.rule(guards::is_open_to(caller, &organization))?;
            guards::has_role(tx, organization.id, &transfer.role).await?;
            let mut new = lock_membership(tx, caller, transfer.to, organization.id).await?;
            let mut former = lock_membership(tx, caller, from, organization.id).await?;
            rehearsal.rule(guards::is_owner(&former))?;
            held.outranks(&guards::held_by(tx, &former).await?)?;
            let before = guards::held_by(tx, &new).await?;
            authority::permissions(tx, &held, Some(&before), &Held::everything())?;
            new.role = RoleName::owner();
            former.role = transfer.role.clone();
            let impact = rehearsal.impact(async { Ok(Impact::of_memberships(2)) }).await?;
            let (new, former) = if impact.is_some() {
                (new.into_inner(), former.into_inner())
            } else {
                let new = tx.memberships().save(new, Action::MembershipOwnershipTransferred, now).await?;
                let former = tx.memberships().save(former, Action::MembershipUpdated, now).await?;
                ending::with_membership(tx, &organization, former.user_id, now).await?;
                (new, former)
            };
            let (new_owner, former_owner) = (Some(new.into()), Some(former.into()));
            Ok(pb::TransferOwnershipResponse { new_owner, former_owner, impact })
        });
        Ok(Response::new(transfer_ownership.await?))
    }

    async fn leave_organization(
        &self,
        request: Request<pb::LeaveOrganizationRequest>,
    ) -> Result<Response<pb::LeaveOrganizationResponse>, Status> {
        let (call, id) =
            called_to_act(request, |r| convert::id_of::<OrganizationId>("organization_id", &r.organization_id))?;
        let (caller, now) = (&call.caller, self.app.now());
        let leave = self.app.change(&call, async |tx| {
            let organization = find(tx.organizations().lock(&caller.reach(), id).await?)?;
            let user = caller.user_id().ok_or(Error::NotFound(Entity::Membership))?;
            let membership = lock_membership(tx, caller, user, id).await?;
            guards::keeps_an_owner(tx, &membership).await?;
            tx.memberships().delete(membership).await?;
            ending::with_membership(tx, &organization, user, now).await?;
            Ok(pb::LeaveOrganizationResponse {})
        });
        Ok(Response::new(leave.await?))
    }
}
