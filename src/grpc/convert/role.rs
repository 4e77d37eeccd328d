//! Roles on the wire.

use super::{Listing, Lists, Validation, texts, time};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        BuiltInRole, Name, NewRole, OrganizationId, Resource as _, Role, RoleChanges, RoleId, RoleKey, RoleName, RoleOf,
    },
    pb::{self, get_role_request::Key},
};

/// Parses a CreateRole request.
pub fn create(request: &pb::CreateRoleRequest) -> Result<NewRole> {
    let mut check = Validation::default();
    let organization_id = check.id("organization_id", &request.organization_id);
    let name = check.field("name", RoleName::parse_own(&request.name));
    let display_name = check.optional("display_name", &request.display_name, Name::parse);
    let description = check.optional("description", &request.description, Name::parse);
    let permissions = check.scopes("permissions", &request.permissions, 0);
    let (Some(organization_id), Some(name), Some(display_name), Some(description), Some(permissions)) =
        (organization_id, name, display_name, description, permissions)
    else {
        return Err(check.failed());
    };
    Ok(NewRole { organization_id, name, display_name, description, permissions })
}

/// Parses a GetRole request.
pub fn get(request: pb::GetRoleRequest) -> Result<RoleKey> {
    match request.key {
        None => Err(Error::invalid("key", "must be role_id or organization_and_name")),
        Some(Key::RoleId(id)) => super::id_of("role_id", &id).map(RoleKey::Id),
        Some(Key::OrganizationAndName(named)) => {
            let mut check = Validation::default();
            let organization_id = check.id("organization_and_name.organization_id", &named.organization_id);
            let name = check.field("organization_and_name.name", RoleName::parse(&named.name));
            let (Some(organization_id), Some(name)) = (organization_id, name) else { return Err(check.failed()) };
            Ok(RoleKey::Named(organization_id, name))
        }
    }
}

/// Parses a ListRoles request.
pub fn list(lists: Lists<'_>, request: &pb::ListRolesRequest) -> Result<Listing<OrganizationId>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.id("organization_id", &request.organization_id);
    let (Some(page), Some(organization_id)) = (page, organization_id) else { return Err(check.failed()) };
    Ok(Listing::new(organization_id, page))
}

/// Parses an UpdateRole request.
pub fn update(request: pb::UpdateRoleRequest) -> Result<(Target<RoleId>, RoleChanges)> {
    let mut check = Validation::default();
    let id = check.id("role_id", &request.role_id);
    let mask = check.mask(request.update_mask.as_ref(), &["description", "permissions", "display_name"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let display_name =
        mask.named("display_name", || check.optional("display_name", &request.display_name, Name::parse));
    let description = mask.named("description", || check.optional("description", &request.description, Name::parse));
    let permissions = mask.named("permissions", || check.scopes("permissions", &request.permissions, 0));
    let (Some(id), Some(display_name), Some(description), Some(permissions)) =
        (id, display_name, description, permissions)
    else {
        return Err(check.failed());
    };
    Ok((Target { id, etag: request.etag }, RoleChanges { display_name, description, permissions }))
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        Self {
            etag: role.etag(),
            id: role.id.to_string(),
            organization_id: role.organization_id.to_string(),
            name: role.name.as_str().to_owned(),
            display_name: role.display_name.map(|text| text.as_str().to_owned()).unwrap_or_default(),
            description: role.description.map(|text| text.as_str().to_owned()).unwrap_or_default(),
            permissions: texts(&role.permissions),
            created_at: Some(time(role.created_at)),
            updated_at: Some(time(role.updated_at)),
            is_built_in: false,
            excluded_permissions: Vec::new(),
        }
    }
}

impl From<RoleOf> for pb::Role {
    fn from(role: RoleOf) -> Self {
        match role {
            RoleOf::Custom(role) => role.into(),
            RoleOf::BuiltIn(organization_id, role) => built_in(organization_id, role),
        }
    }
}

fn built_in(organization_id: OrganizationId, role: BuiltInRole) -> pb::Role {
    let gives = role.gives();
    pb::Role {
        organization_id: organization_id.to_string(),
        name: role.as_str().to_owned(),
        display_name: role.display_name().to_owned(),
        description: role.description().to_owned(),
        permissions: texts(&gives.permissions),
        excluded_permissions: texts(&gives.excluded),
        is_built_in: true,
        ..Default::default()
    }
}
