//! Memberships on the wire.

use super::{Listing, Lists, Validation, json, texts, time, uuid};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        Count, ExternalId, Member, MemberFilter, MemberOrder, Membership, MembershipChanges, MembershipFilter,
        MembershipId, MembershipKey, MembershipState, MetadataFilters, NewMembership, Order, OrganizationId,
        PageRequest, Resource as _, RoleName, Seen, UserId, UserState,
    },
    pb::{self, get_membership_request::Key},
};

/// Maximum number of roles in a filter.
const MAX_ROLES: usize = 20;

/// Parses a CreateMembership request.
pub fn create(request: pb::CreateMembershipRequest) -> Result<NewMembership> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let organization_id = check.id("organization_id", &request.organization_id);
    let role = check.field("role", RoleName::parse(&request.role));
    let permissions = check.scopes("permissions", &request.permissions, 0);
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let metadata = check.object("metadata", request.metadata);
    let private_metadata = check.object("private_metadata", request.private_metadata);
    let new = (|| {
        Some(NewMembership {
            user_id: user_id?,
            organization_id: organization_id?,
            role: role?,
            permissions: permissions?,
            external_id: external_id?,
            metadata: metadata?,
            private_metadata: private_metadata?,
        })
    })();
    new.ok_or_else(|| check.failed())
}

/// Parses a GetMembership request.
pub fn get(request: pb::GetMembershipRequest) -> Result<MembershipKey> {
    match request.key {
        None => {
            Err(Error::invalid("key", "must be membership_id, user_and_organization or organization_and_external_id"))
        }
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
        Some(Key::OrganizationAndExternalId(key)) => {
            let mut check = Validation::default();
            let organization_id = check.id("organization_and_external_id.organization_id", &key.organization_id);
            let external_id =
                check.field("organization_and_external_id.external_id", ExternalId::parse(&key.external_id));
            let (Some(organization_id), Some(external_id)) = (organization_id, external_id) else {
                return Err(check.failed());
            };
            Ok(MembershipKey::External(organization_id, external_id))
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
    let open = check.metadata_filter("metadata_filter", request.metadata_filter.as_ref());
    let private = check.metadata_filter("private_metadata_filter", request.private_metadata_filter.as_ref());
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let filter = (|| {
        Some(MembershipFilter {
            organization_id: organization_id?,
            user_id: user_id?,
            role: role?,
            metadata: MetadataFilters { open: open?, private: private? },
            external_id: external_id?,
        })
    })();
    let (Some(filter), Some(page), Some(())) = (filter, page, one_end) else { return Err(check.failed()) };
    Ok(Listing::new(filter, page))
}

/// Parses a ListMembers request.
pub fn list_members(lists: Lists<'_>, request: &pb::ListMembersRequest) -> Result<Listing<MemberFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.id("organization_id", &request.organization_id);
    let fragment = check.fragment(&request.query);
    let roles = roles(&mut check, &request.roles);
    let state = check.optional_choice("state", member_state(request.state));
    let membership_state = check.optional_choice("membership_state", membership_state(request.membership_state));
    let users = users(&mut check, &request.user_ids);
    let order = check.field("order", member_order(request.order));
    let filter = (|| {
        let (order, by_time) = order?;
        let (page, identity) = page?;
        let (organization_id, fragment) = (organization_id?, fragment?);
        let filter = MemberFilter {
            organization_id,
            fragment,
            roles: roles?,
            state: state?,
            membership_state: membership_state?,
            users: users?,
            order,
        };
        Some(Listing::new(filter, (PageRequest { order: by_time, ..page }, identity)))
    })();
    filter.ok_or_else(|| check.failed())
}

/// Parses a CountMembers request: the organization, the state of the users, and the roles.
pub fn count_members(request: &pb::CountMembersRequest) -> Result<(OrganizationId, Option<UserState>, Vec<RoleName>)> {
    let mut check = Validation::default();
    let organization_id = check.id("organization_id", &request.organization_id);
    let roles = roles(&mut check, &request.roles);
    let state = check.optional_choice("state", member_state(request.state));
    let (Some(organization_id), Some(roles), Some(state)) = (organization_id, roles, state) else {
        return Err(check.failed());
    };
    Ok((organization_id, state, roles))
}

fn roles(check: &mut Validation, texts: &[String]) -> Option<Vec<RoleName>> {
    if texts.len() > MAX_ROLES {
        check.violation("roles", format!("must have at most {MAX_ROLES} items"));
        return None;
    }
    check.items("roles", texts, |text| RoleName::parse(text))
}

/// `None` for no restriction.
fn users(check: &mut Validation, texts: &[String]) -> Option<Option<Vec<UserId>>> {
    if texts.len() > Validation::MAX_BATCH {
        check.violation("user_ids", format!("must have at most {} items", Validation::MAX_BATCH));
        return None;
    }
    let ids = check.items("user_ids", texts, |text| uuid(text))?;
    Some(Some(ids).filter(|ids| !ids.is_empty()))
}

/// The state of a member's user: `None` for an unknown number or a deleted one.
fn member_state(state: i32) -> Option<Option<UserState>> {
    match pb::UserState::try_from(state).ok()? {
        pb::UserState::Unspecified => Some(None),
        pb::UserState::Active => Some(Some(UserState::Active)),
        pb::UserState::Suspended => Some(Some(UserState::Suspended)),
        pb::UserState::Deleted => None,
    }
}

fn membership_state(state: i32) -> Option<Option<MembershipState>> {
    Some(match pb::MembershipState::try_from(state).ok()? {
        pb::MembershipState::Unspecified => None,
        pb::MembershipState::Active => Some(MembershipState::Active),
        pb::MembershipState::Disabled => Some(MembershipState::Disabled),
    })
}

fn member_order(order: i32) -> std::result::Result<(MemberOrder, Order), &'static str> {
    Ok(match pb::MemberOrder::try_from(order).map_err(|_| "must be one of the enum's values")? {
        pb::MemberOrder::Unspecified | pb::MemberOrder::OldestFirst => (MemberOrder::Joined, Order::OldestFirst),
        pb::MemberOrder::NewestFirst => (MemberOrder::Joined, Order::NewestFirst),
        pb::MemberOrder::Name => (MemberOrder::Name, Order::OldestFirst),
    })
}

/// A count as the answer of CountMembers.
pub fn counted(count: Count) -> pb::CountMembersResponse {
    pb::CountMembersResponse { total: i32::try_from(count.total).unwrap_or(i32::MAX), is_more: count.is_more }
}

/// Parses an UpdateMembership request.
pub fn update(request: pb::UpdateMembershipRequest) -> Result<(Target<MembershipId>, MembershipChanges)> {
    let mut check = Validation::default();
    let id = check.id("membership_id", &request.membership_id);
    let fields = ["role", "permissions", "metadata", "external_id", "private_metadata"];
    let mask = check.mask_with_keys(request.update_mask.as_ref(), &fields, &["metadata", "private_metadata"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let role = mask.named("role", || check.field("role", RoleName::parse(&request.role)));
    let permissions = mask.named("permissions", || check.scopes("permissions", &request.permissions, 0));
    let metadata = check.object_changes(&mask, "metadata", request.metadata);
    let external_id =
        mask.named("external_id", || check.optional("external_id", &request.external_id, ExternalId::parse));
    let private_metadata = check.object_changes(&mask, "private_metadata", request.private_metadata);
    let changes = (|| {
        Some(MembershipChanges {
            role: role?,
            permissions: permissions?,
            external_id: external_id?,
            metadata: metadata?,
            private_metadata: private_metadata?,
        })
    })();
    let (Some(id), Some(changes)) = (id, changes) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, changes))
}

impl From<Seen<Member>> for pb::Member {
    fn from(Seen { resource: member, is_whole }: Seen<Member>) -> Self {
        let state = match member.profile.state {
            UserState::Active => pb::UserState::Active,
            UserState::Suspended => pb::UserState::Suspended,
        };
        let profile = pb::MemberProfile {
            user_id: member.profile.user_id.to_string(),
            email: member.profile.email.as_str().to_owned(),
            name: member.profile.name.as_str().to_owned(),
            avatar_url: member.profile.avatar_url.map(|url| url.as_str().to_owned()).unwrap_or_default(),
            state: state.into(),
            email_verified_at: member.profile.email_verified_at.map(time),
            last_sign_in_at: member.profile.last_sign_in_at.map(time),
        };
        let membership = Seen { resource: member.membership, is_whole };
        Self { membership: Some(membership.into()), profile: Some(profile) }
    }
}

fn wire_state(state: MembershipState) -> pb::MembershipState {
    match state {
        MembershipState::Active => pb::MembershipState::Active,
        MembershipState::Disabled => pb::MembershipState::Disabled,
    }
}

/// A membership without what only platform admins see.
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
            metadata: Some(json::object(membership.metadata)),
            external_id: membership.external_id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            private_metadata: None,
            state: wire_state(membership.state).into(),
        }
    }
}

impl From<Seen<Membership>> for pb::Membership {
    fn from(Seen { mut resource, is_whole }: Seen<Membership>) -> Self {
        let private = std::mem::take(&mut resource.private_metadata);
        Self { private_metadata: json::private(private, is_whole), ..resource.into() }
    }
}
