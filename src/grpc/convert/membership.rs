//! Memberships on the wire.

use super::{Listing, Lists, Validation, texts, time};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        Membership, MembershipChanges, MembershipFilter, MembershipId, MembershipKey, MembershipState, NewMembership,
        Resource as _, RoleName,
    },
    pb::{self, get_membership_request::Key},
};

/// Parses a CreateMembership request.
pub fn create(request: &pb::CreateMembershipRequest) -> Result<NewMembership> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let organization_id = check.id("organization_id", &request.organization_id);
    let role = check.field("role", RoleName::parse(&request.role));
    let permissions = check.scopes("permissions", &request.permissions, 0);
    let (Some(user_id), Some(organization_id), Some(role), Some(permissions)) =
        (user_id, organization_id, role, permissions)
    else {
        return Err(check.failed());
    };
    Ok(NewMembership { user_id, organization_id, role, permissions })
}

/// Parses a GetMembership request.
pub fn get(request: pb::GetMembershipRequest) -> Result<MembershipKey> {
    match request.key {
        None => Err(Error::invalid("key", "must be membership_id or user_and_organization")),
        Some(Key::MembershipId(id)) => super::id_of("membership_id", &id).map(MembershipKey::Id),
        Some(Key::UserAndOrganization(ends)) => {
            let mut check = Validation::default();
            let user_id = check.id("user_and_organization.user_id", &ends.user_id);
            let organization_id = check.id("user_and_organization.organization_id", &ends.organization_id);
            let (Some(user_id), Some(organization_id)) = (user_id, organization_id) else {
                return Err(check.failed());
            };
            Ok(MembershipKey::Ends(user_id, organization_id))
        }
    }
}

/// Parses a ListMemberships request.
pub fn list(lists: Lists<'_>, request: &pb::ListMembershipsRequest) -> Result<Listing<MembershipFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let user_id = check.optional_id("user_id", &request.user_id);
    let role = check.optional("role", &request.role, RoleName::parse);
    let one_end = !(request.organization_id.is_empty() && request.user_id.is_empty());
    let one_end = check.field("organization_id", one_end.then_some(()).ok_or("must be set, or user_id must be"));
    let (Some(page), Some(organization_id), Some(user_id), Some(role), Some(())) =
        (page, organization_id, user_id, role, one_end)
    else {
        return Err(check.failed());
    };
    Ok(Listing::new(MembershipFilter { organization_id, user_id, role }, page))
}

/// Parses an UpdateMembership request.
pub fn update(request: pb::UpdateMembershipRequest) -> Result<(Target<MembershipId>, MembershipChanges)> {
    let mut check = Validation::default();
    let id = check.id("membership_id", &request.membership_id);
    let mask = check.mask(request.update_mask.as_ref(), &["role", "permissions"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let role = mask.named("role", || check.field("role", RoleName::parse(&request.role)));
    let permissions = mask.named("permissions", || check.scopes("permissions", &request.permissions, 0));
    let (Some(id), Some(role), Some(permissions)) = (id, role, permissions) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, MembershipChanges { role, permissions }))
}

fn wire_state(state: MembershipState) -> pb::MembershipState {
    match state {
        MembershipState::Active => pb::MembershipState::Active,
        MembershipState::Disabled => pb::MembershipState::Disabled,
    }
}

impl From<Membership> for pb::Membership {
    fn from(membership: Membership) -> Self {
        Self {
            etag: membership.etag(),
            id: membership.id.to_string(),
            user_id: membership.user_id.to_string(),
            organization_id: membership.organization_id.to_string(),
            role: membership.role.as_str().to_owned(),
            permissions: texts(&membership.permissions),
            created_at: Some(time(membership.created_at)),
            updated_at: Some(time(membership.updated_at)),
            state: wire_state(membership.state).into(),
        }
    }
}
