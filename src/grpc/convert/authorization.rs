//! Permission checks on the wire.

use super::{Listing, Lists, Validation, texts};
use crate::{
    error::Result,
    models::{
        OrganizationId, Resource as _, Scope,
        permission::{Allowed, Basis, Decision, Holder, Question, Subject},
    },
    pb::{self, check_permission_request::Subject as WireSubject},
};

/// Maximum number of checks in a batch.
const MAX_CHECKS: usize = 1000;

/// Parses a CheckPermission request.
pub fn question(request: &pb::CheckPermissionRequest) -> Result<Question> {
    let mut check = Validation::default();
    let (user_id, api_key_id) = match &request.subject {
        Some(WireSubject::UserId(id)) => (Some(id), None),
        Some(WireSubject::ApiKeyId(id)) => (None, Some(id)),
        None => (None, None),
    };
    let subject = subject(&mut check, user_id, api_key_id);
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

/// Parses a ListEffectivePermissions request.
pub fn effective(request: &pb::ListEffectivePermissionsRequest) -> Result<(Subject, OrganizationId)> {
    use pb::list_effective_permissions_request::Subject as WireSubject;
    let mut check = Validation::default();
    let (user_id, api_key_id) = match &request.subject {
        Some(WireSubject::UserId(id)) => (Some(id), None),
        Some(WireSubject::ApiKeyId(id)) => (None, Some(id)),
        None => (None, None),
    };
    let subject = subject(&mut check, user_id, api_key_id);
    let organization_id = check.id("organization_id", &request.organization_id);
    let (Some(subject), Some(organization_id)) = (subject, organization_id) else { return Err(check.failed()) };
    Ok((subject, organization_id))
}

/// Parses a ListPrincipalsWithPermission request.
pub fn principals(
    lists: Lists<'_>,
    request: &pb::ListPrincipalsWithPermissionRequest,
) -> Result<Listing<(OrganizationId, Scope)>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.id("organization_id", &request.organization_id);
    let permission = check.field("permission", Scope::parse_concrete(&request.permission));
    let (Some(page), Some(organization_id), Some(permission)) = (page, organization_id, permission) else {
        return Err(check.failed());
    };
    Ok(Listing::new((organization_id, permission), page))
}

fn subject(check: &mut Validation, user_id: Option<&String>, api_key_id: Option<&String>) -> Option<Subject> {
    match (user_id, api_key_id) {
        (Some(id), _) => check.id("user_id", id).map(Subject::User),
        (None, Some(id)) => check.id("api_key_id", id).map(Subject::ApiKey),
        (None, None) => {
            check.violation("subject", "must be user_id or api_key_id");
            None
        }
    }
}

impl From<Allowed> for pb::ListEffectivePermissionsResponse {
    fn from(allowed: Allowed) -> Self {
        let role_gives = allowed.role_gives();
        let Allowed { effective, basis, membership, role, key } = allowed;
        Self {
            permissions: texts(&effective.permissions),
            excluded_permissions: texts(&effective.excluded),
            basis: wire(basis).into(),
            role: membership.as_ref().map(|own| own.role.as_str().to_owned()).unwrap_or_default(),
            membership_id: membership.as_ref().map(|own| own.id.to_string()).unwrap_or_default(),
            membership_permissions: membership.as_ref().map(|own| texts(&own.permissions)).unwrap_or_default(),
            membership_etag: membership.map(|own| own.etag()).unwrap_or_default(),
            role_id: role.as_ref().map(|role| role.id.to_string()).unwrap_or_default(),
            role_etag: role.map(|role| role.etag()).unwrap_or_default(),
            role_permissions: texts(&role_gives.permissions),
            role_excluded_permissions: texts(&role_gives.excluded),
            scopes: key.as_ref().map(|key| texts(&key.scopes)).unwrap_or_default(),
            api_key_etag: key.map(|key| key.etag()).unwrap_or_default(),
        }
    }
}

impl From<Holder> for pb::PermissionPrincipal {
    fn from(holder: Holder) -> Self {
        use pb::permission_principal::Principal;
        let (membership_id, role) = holder.membership.unzip();
        Self {
            principal: Some(match holder.subject {
                Subject::User(id) => Principal::UserId(id.to_string()),
                Subject::ApiKey(id) => Principal::ApiKeyId(id.to_string()),
            }),
            basis: wire(holder.basis).into(),
            role: role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
            membership_id: membership_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }
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
        Basis::MembershipDisabled => pb::PermissionBasis::MembershipDisabled,
        Basis::ApiKeyDisabled => pb::PermissionBasis::ApiKeyDisabled,
        Basis::ApiKeyExpired => pb::PermissionBasis::ApiKeyExpired,
        Basis::ScopeMissing => pb::PermissionBasis::ScopeMissing,
    }
}
