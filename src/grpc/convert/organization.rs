//! Organizations on the wire.

use super::{Batch, Listing, Lists, Target, Validation, batch, batch_size, json, time, uuid};
use crate::{
    error::{Entity, Result},
    grpc::status::not_found,
    models::{
        ExternalId, MetadataFilters, Name, NewOrganization, Organization, OrganizationChanges, OrganizationFilter,
        OrganizationId, OrganizationState, Plan, Resource as _, RoleName, Seen, Slug, StateFilter, WebUrl,
        organization::Transfer,
    },
    pb,
};

/// Parses a CreateOrganization request.
pub fn create(request: pb::CreateOrganizationRequest) -> Result<NewOrganization> {
    let mut check = Validation::default();
    let name = check.field("name", Name::parse(&request.name));
    let slug = check.optional("slug", &request.slug, Slug::parse);
    let owner_user_id = check.id("owner_user_id", &request.owner_user_id);
    let logo_url = check.optional("logo_url", &request.logo_url, WebUrl::parse);
    let plan = check.optional("plan", &request.plan, Plan::parse);
    let settings = check.object("settings", request.settings);
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let private_metadata = check.object("private_metadata", request.private_metadata);
    let new = (|| {
        Some(NewOrganization {
            name: name?,
            slug: slug?,
            owner_user_id: owner_user_id?,
            logo_url: logo_url?,
            plan: plan?,
            settings: settings?,
            external_id: external_id?,
            private_metadata: private_metadata?,
            allow_reserved_slug: request.allow_reserved_slug,
        })
    })();
    new.ok_or_else(|| check.failed())
}

/// Parses a ListOrganizations request.
pub fn list(lists: Lists<'_>, request: &pb::ListOrganizationsRequest) -> Result<Listing<OrganizationFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let plan = check.optional("plan", &request.plan, Plan::parse);
    let state = check.optional_choice("state", state_filter(request.state).map(Some));
    let name_prefix =
        check.optional("name_prefix", &request.name_prefix, |text| Name::parse(text).map(|name| name.search_key()));
    let member_user_id = check.optional_id("member_user_id", &request.member_user_id);
    let open = check.metadata_filter("settings_filter", request.settings_filter.as_ref());
    let private = check.metadata_filter("private_metadata_filter", request.private_metadata_filter.as_ref());
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let fragment = check.fragment(&request.query);
    let by_prefix = check.is_by_prefix("name_prefix", &request.name_prefix, request.order, &request.query);
    let filter = (|| {
        by_prefix?;
        Some(OrganizationFilter {
            plan: plan?,
            state: state?.unwrap_or_default(),
            name_prefix: name_prefix?,
            member_user_id: member_user_id?,
            fragment: fragment?,
            metadata: MetadataFilters { open: open?, private: private? },
            external_id: external_id?,
        })
    })();
    let (Some(filter), Some(page)) = (filter, page) else { return Err(check.failed()) };
    Ok(Listing::new(filter, page))
}

/// Parses an UpdateOrganization request.
pub fn update(request: pb::UpdateOrganizationRequest) -> Result<(Target<OrganizationId>, OrganizationChanges)> {
    let mut check = Validation::default();
    let id = check.id("organization_id", &request.organization_id);
    let fields = ["name", "slug", "logo_url", "plan", "settings", "external_id", "private_metadata"];
    let mask = check.mask_with_keys(request.update_mask.as_ref(), &fields, &["settings", "private_metadata"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let name = mask.named("name", || check.field("name", Name::parse(&request.name)));
    let slug = mask.named("slug", || check.field("slug", Slug::parse(&request.slug)));
    let logo_url = mask.named("logo_url", || check.optional("logo_url", &request.logo_url, WebUrl::parse));
    let plan = mask.named("plan", || check.field("plan", Plan::parse(&request.plan)));
    let settings = check.object_changes(&mask, "settings", request.settings);
    let external_id =
        mask.named("external_id", || check.optional("external_id", &request.external_id, ExternalId::parse));
    let private_metadata = check.object_changes(&mask, "private_metadata", request.private_metadata);
    let changes = (|| {
        Some(OrganizationChanges {
            name: name?,
            slug: slug?,
            logo_url: logo_url?,
            plan: plan?,
            settings: settings?,
            external_id: external_id?,
            private_metadata: private_metadata?,
            allow_reserved_slug: request.allow_reserved_slug,
        })
    })();
    let (Some(id), Some(changes)) = (id, changes) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, changes))
}

/// Parses a GetOrganizationByExternalId request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an invalid id.
pub fn get_by_external_id(request: &pb::GetOrganizationByExternalIdRequest) -> Result<ExternalId> {
    let mut check = Validation::default();
    check.field("external_id", ExternalId::parse(&request.external_id)).ok_or_else(|| check.failed())
}

/// The items of a BatchGetOrganizations request.
#[derive(Debug)]
pub struct OrganizationBatch {
    /// By id.
    pub ids: Batch<OrganizationId>,
    /// By external id.
    pub external_ids: Batch<ExternalId>,
}

/// Parses a BatchGetOrganizations request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an empty batch or too many items.
pub fn batch_get(request: pb::BatchGetOrganizationsRequest) -> Result<OrganizationBatch> {
    let count = request.organization_ids.len() + request.external_ids.len();
    batch_size("organization_ids", count, Validation::MAX_BATCH)?;
    let ids = batch(request.organization_ids, uuid);
    Ok(OrganizationBatch { ids, external_ids: batch(request.external_ids, ExternalId::parse) })
}

/// The results of a batch of organizations, each with its item.
pub fn batch_results(batch: OrganizationBatch, found: &[Seen<Organization>]) -> Vec<pb::BatchGetOrganizationsResult> {
    use pb::batch_get_organizations_result::Outcome;
    let position = |is: &dyn Fn(&Organization) -> bool| found.iter().find(|seen| is(&seen.resource));
    let outcome = |valid: bool, organization: Option<&Seen<Organization>>| {
        Some(match organization {
            Some(organization) => Outcome::Organization(organization.clone().into()),
            None if valid => Outcome::Error(not_found(Entity::Organization).into()),
            None => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
        })
    };
    let by_id = batch.ids.into_iter().map(|(organization_id, id)| {
        let found = id.and_then(|id| position(&|organization| organization.id == id));
        pb::BatchGetOrganizationsResult { organization_id, outcome: outcome(id.is_some(), found), ..Default::default() }
    });
    let by_external_id = batch.external_ids.into_iter().map(|(external_id, id)| {
        let found = id.as_ref().and_then(|id| position(&|organization| organization.external_id.as_ref() == Some(id)));
        pb::BatchGetOrganizationsResult { external_id, outcome: outcome(id.is_some(), found), ..Default::default() }
    });
    by_id.chain(by_external_id).collect()
}

/// Parses an UndeleteOrganization request: the organization, whether its API keys work again, and its slug and external id from now on,
/// if set.
pub fn undelete(
    request: pb::UndeleteOrganizationRequest,
) -> Result<(Target<OrganizationId>, bool, OrganizationChanges)> {
    let mut check = Validation::default();
    let id = check.id("organization_id", &request.organization_id);
    let slug = check.optional("slug", &request.slug, Slug::parse);
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let (Some(id), Some(slug), Some(external_id)) = (id, slug, external_id) else { return Err(check.failed()) };
    let changes = OrganizationChanges {
        slug,
        external_id: external_id.map(Some),
        allow_reserved_slug: request.allow_reserved_slug,
        ..OrganizationChanges::default()
    };
    Ok((Target { id, etag: request.etag }, request.restore_api_keys, changes))
}

/// Parses a GetOrganizationBySlug request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an invalid slug.
pub fn get_by_slug(request: &pb::GetOrganizationBySlugRequest) -> Result<Slug> {
    let mut check = Validation::default();
    check.field("slug", Slug::parse(&request.slug)).ok_or_else(|| check.failed())
}

/// Parses a TransferOwnership request. A missing former owner is the caller.
pub fn transfer(request: &pb::TransferOwnershipRequest) -> Result<Transfer> {
    let mut check = Validation::default();
    let organization_id = check.id("organization_id", &request.organization_id);
    let to = check.id("new_owner_user_id", &request.new_owner_user_id);
    let from = check.optional_id("former_owner_user_id", &request.former_owner_user_id);
    let role = check.optional("former_owner_role", &request.former_owner_role, |text| match RoleName::parse(text)? {
        role if role.is_owner() => Err("must not be owner"),
        role => Ok(role),
    });
    let (Some(organization_id), Some(to), Some(from), Some(role)) = (organization_id, to, from, role) else {
        return Err(check.failed());
    };
    Ok(Transfer { organization_id, to, from, role: role.unwrap_or_else(RoleName::admin) })
}

fn state_filter(state: i32) -> Option<StateFilter<OrganizationState>> {
    Some(match pb::OrganizationState::try_from(state).ok()? {
        pb::OrganizationState::Unspecified => StateFilter::NotDeleted,
        pb::OrganizationState::Active => StateFilter::Is(OrganizationState::Active),
        pb::OrganizationState::Suspended => StateFilter::Is(OrganizationState::Suspended),
        pb::OrganizationState::Deleted => StateFilter::Deleted,
    })
}

/// An organization without what only platform admins see.
impl From<Organization> for pb::Organization {
    fn from(organization: Organization) -> Self {
        let state = match (organization.deleted_at, organization.state) {
            (Some(_), _) => pb::OrganizationState::Deleted,
            (None, OrganizationState::Active) => pb::OrganizationState::Active,
            (None, OrganizationState::Suspended) => pb::OrganizationState::Suspended,
        };
        Self {
            etag: organization.etag(),
            id: organization.id.to_string(),
            name: organization.name.as_str().to_owned(),
            slug: organization.slug.as_str().to_owned(),
            logo_url: organization.logo_url.map(|url| url.as_str().to_owned()).unwrap_or_default(),
            plan: organization.plan.as_str().to_owned(),
            settings: Some(json::object(organization.settings)),
            state: state.into(),
            created_at: Some(time(organization.created_at)),
            updated_at: Some(time(organization.updated_at)),
            deleted_at: organization.deleted_at.map(time),
            external_id: organization.external_id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            private_metadata: None,
        }
    }
}

impl From<Seen<Organization>> for pb::Organization {
    fn from(Seen { mut resource, is_whole }: Seen<Organization>) -> Self {
        let private = std::mem::take(&mut resource.private_metadata);
        Self { private_metadata: json::private(private, is_whole), ..resource.into() }
    }
}
