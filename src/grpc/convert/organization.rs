//! Organizations on the wire.

use super::{Listing, Lists, Target, Validation, json, time};
use crate::{
    error::Result,
    models::{
        Name, NewOrganization, Organization, OrganizationChanges, OrganizationFilter, OrganizationId,
        OrganizationState, Plan, Resource as _, RoleName, Slug, StateFilter, WebUrl, organization::Transfer,
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
    let allow_reserved_slug = request.allow_reserved_slug;
    let (Some(name), Some(slug), Some(owner_user_id), Some(logo_url), Some(plan), Some(settings)) =
        (name, slug, owner_user_id, logo_url, plan, settings)
    else {
        return Err(check.failed());
    };
    Ok(NewOrganization { name, slug, owner_user_id, logo_url, plan, settings, allow_reserved_slug })
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
    let (Some(page), Some(plan), Some(state), Some(name_prefix), Some(member_user_id)) =
        (page, plan, state, name_prefix, member_user_id)
    else {
        return Err(check.failed());
    };
    let state = state.unwrap_or_default();
    Ok(Listing::new(OrganizationFilter { plan, state, name_prefix, member_user_id }, page))
}

/// Parses an UpdateOrganization request.
pub fn update(request: pb::UpdateOrganizationRequest) -> Result<(Target<OrganizationId>, OrganizationChanges)> {
    let mut check = Validation::default();
    let id = check.id("organization_id", &request.organization_id);
    let mask = check.mask(request.update_mask.as_ref(), &["name", "slug", "logo_url", "plan", "settings"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let name = mask.named("name", || check.field("name", Name::parse(&request.name)));
    let slug = mask.named("slug", || check.field("slug", Slug::parse(&request.slug)));
    let logo_url = mask.named("logo_url", || check.optional("logo_url", &request.logo_url, WebUrl::parse));
    let plan = mask.named("plan", || check.field("plan", Plan::parse(&request.plan)));
    let settings = mask.named("settings", || check.object("settings", request.settings));
    let (Some(id), Some(name), Some(slug), Some(logo_url), Some(plan), Some(settings)) =
        (id, name, slug, logo_url, plan, settings)
    else {
        return Err(check.failed());
    };
    let allow_reserved_slug = request.allow_reserved_slug;
    let changes = OrganizationChanges { name, slug, logo_url, plan, settings, allow_reserved_slug };
    Ok((Target { id, etag: request.etag }, changes))
}

/// Parses an UndeleteOrganization request: the organization, and its slug from now on, if set.
pub fn undelete(request: pb::UndeleteOrganizationRequest) -> Result<(Target<OrganizationId>, bool, Option<Slug>)> {
    let mut check = Validation::default();
    let id = check.id("organization_id", &request.organization_id);
    let slug = check.optional("slug", &request.slug, Slug::parse);
    let (Some(id), Some(slug)) = (id, slug) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, request.restore_api_keys, slug))
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
        }
    }
}
