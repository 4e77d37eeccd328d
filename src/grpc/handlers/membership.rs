//! `MembershipService`.
//!
//! Every change of a membership locks the organization first: who owns an organization is decided by one call at a time.
//! A call that makes an owner locks the user before that, so that the user cannot be suspended meanwhile.

use tonic::{Request, Response, Status};

use super::{authority, called_by, called_to_act, ending, guards, lists, rehearsal::Rehearsal};
use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Limit, Result},
    grpc::convert,
    models::{
        Action, Caller, Held, Impact, Locked, Membership, MembershipId, MembershipKey, Organization, RoleName,
        permission,
    },
    pb::{self, membership_service_server::MembershipService},
};

/// Answers `MembershipService`.
#[derive(Clone)]
pub struct MembershipHandler {
    app: App,
}

impl MembershipHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

fn find<T>(membership: Option<T>) -> Result<T> {
    membership.ok_or(Error::NotFound(Entity::Membership))
}

/// Locks a membership behind its organization, and behind its user if `role` makes the user an owner, of at most so many.
async fn lock(
    tx: &mut Conn,
    caller: &Caller,
    id: MembershipId,
    role: Option<(&RoleName, u32)>,
    rehearsal: &mut Rehearsal,
) -> Result<(Locked<Organization>, Locked<Membership>)> {
    let key = MembershipKey::Id(id);
    let found = find(tx.memberships().get(&caller.reach(), key).await?)?;
    if let Some((_, most)) = role.filter(|(role, _)| role.is_owner() && !found.role.is_owner()) {
        rehearsal.rule(guards::lock_new_owner(tx, caller, found.user_id, most).await)?;
    }
    let organization = find(tx.organizations().lock(&caller.reach(), found.organization_id).await?)?;
    let membership = find(tx.memberships().lock(&caller.reach(), key).await?)?;
    Ok((organization, membership))
}

#[tonic::async_trait]
impl MembershipService for MembershipHandler {
    async fn create_membership(
        &self,
        request: Request<pb::CreateMembershipRequest>,
    ) -> Result<Response<pb::CreateMembershipResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::membership::create(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let membership = new.to_membership(self.app.new_id(now), now);
        let create = self.app.change(&call, async |tx| {
            let user = tx.users().lock(&caller.reach(), new.user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            if new.role.is_owner() {
                guards::active_user(&user)?;
            }
            let organization = tx.organizations().lock(&caller.reach(), new.organization_id).await?;
            let organization = organization.ok_or(Error::NotFound(Entity::Organization))?;
            let most = self.app.policy.max_members;
            guards::has_room(Limit::Members, most, tx.memberships().count(&organization)).await?;
            let given = guards::has_role(tx, new.organization_id, &new.role).await?.and(&new.permissions);
            let held = guards::held(tx, caller, organization.id).await?;
            authority::permissions(tx, &held, None, &given)?;
            tx.memberships().insert(&membership).await?;
            Ok(pb::CreateMembershipResponse { membership: Some(membership.clone().into()) })
        });
        Ok(Response::new(create.await?))
    }

    async fn get_membership(
        &self,
        request: Request<pb::GetMembershipRequest>,
    ) -> Result<Response<pb::GetMembershipResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let key = convert::membership::get(request)?;
        let membership =
            find(self.app.db.read(async |conn| conn.memberships().get(&caller.reach(), key).await).await?)?;
        Ok(Response::new(pb::GetMembershipResponse { membership: Some(membership.into()) }))
    }

    async fn list_memberships(
        &self,
        request: Request<pb::ListMembershipsRequest>,
    ) -> Result<Response<pb::ListMembershipsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::membership::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            if let Some(id) = listing.filter.organization_id {
                guards::visible_organization(conn, &caller, id).await?;
            }
            if let Some(id) = listing.filter.user_id {
                guards::visible_user(conn, &caller, id).await?;
            }
            conn.memberships().list(&caller.reach(), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (memberships, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListMembershipsResponse { memberships, next_page_token }))
    }

    async fn update_membership(
        &self,
        request: Request<pb::UpdateMembershipRequest>,
    ) -> Result<Response<pb::UpdateMembershipResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::membership::update)?;
        let (caller, now) = (&call.caller, self.app.now());
        let update = self.app.change(&call, async |tx| {
            let mut rehearsal = Rehearsal::of(&call);
            let role = changes.role.as_ref().map(|role| (role, self.app.policy.max_organizations));
            let (organization, mut membership) = lock(tx, caller, target.id, role, &mut rehearsal).await?;
            let held = guards::may(tx, caller, organization.id, permission::WRITE_MEMBERSHIPS).await?;
            rehearsal.rule(guards::is_open_to(caller, &organization))?;
            let before = guards::held_by(tx, &membership).await?;
            held.outranks(&before)?;
            target.check_etag(&*membership)?;
            if changes.role.as_ref().is_some_and(|role| !role.is_owner()) {
                rehearsal.rule(guards::keeps_an_owner(tx, &membership).await)?;
            }
            membership.apply(changes.clone());
            let given = tx.roles().given(membership.organization_id, &membership.role).await?;
            if changes.role.is_some() && given.is_none() {
                return Err(Error::NotFound(Entity::Role));
            }
            let after = Held::by(&membership.role, &membership.permissions).and(&given.unwrap_or_default());
            authority::permissions(tx, &held, Some(&before), &after)?;
            let impact = rehearsal.impact(async { Ok(Impact::of_memberships(1)) }).await?;
            let membership = if impact.is_some() {
                membership.into_inner()
            } else {
                let membership = tx.memberships().save(membership, Action::MembershipUpdated, now).await?;
                ending::with_membership(tx, &organization, membership.user_id, now).await?;
                membership
            };
            Ok(pb::UpdateMembershipResponse { membership: Some(membership.into()), impact })
        });
        Ok(Response::new(update.await?))
    }

    async fn delete_membership(
        &self,
        request: Request<pb::DeleteMembershipRequest>,
    ) -> Result<Response<pb::DeleteMembershipResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<MembershipId>("membership_id", &r.membership_id, r.etag))?;
        let (caller, now) = (&call.caller, self.app.now());
        let delete = self.app.change(&call, async |tx| {
            let (organization, membership) = lock(tx, caller, target.id, None, &mut Rehearsal::of(&call)).await?;
            if caller.user_id() == Some(membership.user_id) {
                guards::is_open_to(caller, &organization)?;
            } else {
                let held = guards::may_change(tx, caller, &organization, permission::WRITE_MEMBERSHIPS).await?;
                held.outranks(&guards::held_by(tx, &membership).await?)?;
            }
            target.check_etag(&*membership)?;
            guards::keeps_an_owner(tx, &membership).await?;
            let user = membership.user_id;
            tx.memberships().delete(membership).await?;
            ending::with_membership(tx, &organization, user, now).await?;
            Ok(pb::DeleteMembershipResponse {})
        });
        Ok(Response::new(delete.await?))
    }
}
