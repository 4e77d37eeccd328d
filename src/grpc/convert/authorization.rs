//! Permission checks on the wire.

use super::Validation;
use crate::{
    error::Result,
    models::{
        Resource as _, Scope,
        permission::{Basis, Decision, Question, Subject},
    },
    pb::{self, check_permission_request::Subject as WireSubject},
};

/// Maximum number of checks in a batch.
const MAX_CHECKS: usize = 1000;

/// Parses a CheckPermission request.
pub fn question(request: &pb::CheckPermissionRequest) -> Result<Question> {
    let mut check = Validation::default();
    let subject = match &request.subject {
        Some(WireSubject::UserId(id)) => check.id("user_id", id).map(Subject::User),
        Some(WireSubject::ApiKeyId(id)) => check.id("api_key_id", id).map(Subject::ApiKey),
        None => {
            check.violation("subject", "must be user_id or api_key_id");
            None
        }
    };
    let organization_id = check.id("organization_id", &request.organization_id);
    let permission = check.field("permission", Scope::parse_concrete(&request.permission));
    let (Some(subject), Some(organization_id), Some(permission)) = (subject, organization_id, permission) else {
        return Err(check.failed());
    };
    Ok(Question { subject, organization_id, permission })
}

/// Parses a BatchCheckPermissions request: each check, or its violations.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an empty batch or too many checks.
pub fn questions(request: &pb::BatchCheckPermissionsRequest) -> Result<Vec<Result<Question>>> {
    super::batch_size("checks", request.checks.len(), MAX_CHECKS)?;
    Ok(request.checks.iter().map(question).collect())
}

impl From<Decision> for pb::PermissionDecision {
    fn from(decision: Decision) -> Self {
        let (membership, role) = (decision.membership, decision.role);
        Self {
            allowed: decision.basis.is_allowed(),
            basis: wire(decision.basis).into(),
            role: membership.as_ref().map(|own| own.role.as_str().to_owned()).unwrap_or_default(),
            membership_id: membership.as_ref().map(|own| own.id.to_string()).unwrap_or_default(),
            membership_etag: membership.map(|own| own.etag()).unwrap_or_default(),
            role_id: role.as_ref().map(|role| role.id.to_string()).unwrap_or_default(),
            role_etag: role.map(|role| role.etag()).unwrap_or_default(),
        }
    }
}

fn wire(basis: Basis) -> pb::PermissionBasis {
    match basis {
        Basis::Role => pb::PermissionBasis::Role,
        Basis::Membership => pb::PermissionBasis::Membership,
        Basis::PlatformAdmin => pb::PermissionBasis::PlatformAdmin,
        Basis::OrganizationKey => pb::PermissionBasis::OrganizationKey,
        Basis::NotGiven => pb::PermissionBasis::NotGiven,
        Basis::NotAMember => pb::PermissionBasis::NotAMember,
        Basis::UserSuspended => pb::PermissionBasis::UserSuspended,
        Basis::OrganizationSuspended => pb::PermissionBasis::OrganizationSuspended,
        Basis::ApiKeyRevoked => pb::PermissionBasis::ApiKeyRevoked,
        Basis::ApiKeyExpired => pb::PermissionBasis::ApiKeyExpired,
        Basis::ScopeMissing => pb::PermissionBasis::ScopeMissing,
    }
}
