//! `AuthorizationService`, a file per method.

use tenantry::pb::{self, check_permission_request::Subject};

mod batch_check_permissions;
mod check_permission;
mod list_effective_permissions;
mod list_principals_with_permission;

fn of_user(user: &pb::User, organization: &pb::Organization, permission: &str) -> pb::CheckPermissionRequest {
    pb::CheckPermissionRequest {
        subject: Some(Subject::UserId(user.id.clone())),
        organization_id: organization.id.clone(),
        permission: permission.to_owned(),
    }
}

fn of_key(key: &pb::ApiKey, organization: &pb::Organization, permission: &str) -> pb::CheckPermissionRequest {
    let subject = Some(Subject::ApiKeyId(key.id.clone()));
    pb::CheckPermissionRequest { subject, organization_id: organization.id.clone(), permission: permission.to_owned() }
}
