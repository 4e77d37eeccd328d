//! Memberships on the wire.

use super::{Listing, Lists, Validation, json, texts, time};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        ExternalId, Membership, MembershipChanges, MembershipFilter, MembershipId, MembershipKey, MembershipState,
        MetadataFilters, NewMembership, Resource as _, RoleName, Seen,
    },
    pb::{self, get_membership_request::Key},
};

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
