//! The context of a call besides its fields: the id of a request that may be sent again, and the metadata for events.

use std::collections::BTreeMap;

use http::HeaderMap;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::{Validation, uuid};
use crate::{
    error::{Error, Result, Violation},
    models::{Once, RequestId},
    pb,
};

/// Metadata entries of a call with this prefix are stored with its events.
const METADATA_PREFIX: &str = "x-event-";
/// Maximum number of such entries.
const MAX_ENTRIES: usize = 16;
/// Maximum size in bytes of a name, without the prefix, and of a value.
const MAX_BYTES: (usize, usize) = (64, 256);

/// A request of a method that writes an event.
pub trait Act: Message {
    /// Full method name.
    const METHOD: &'static str;

    /// The field `request_id`, which every method that changes something has.
    fn request_id(&mut self) -> Option<&mut String>;

    /// The field `validate_only`, which some of them have.
    fn validate_only(&self) -> bool {
        false
    }
}

impl Act for pb::GetOauthAccountTokensRequest {
    const METHOD: &'static str = "tenantry.v1.OauthAccountService.GetOauthAccountTokens";

    fn request_id(&mut self) -> Option<&mut String> {
        None
    }
}

macro_rules! changes {
    ($($service:ident: $($request:ident of $method:ident $(with $validate_only:ident)?),+;)+) => {$($(
        impl Act for pb::$request {
            const METHOD: &'static str = concat!("tenantry.v1.", stringify!($service), ".", stringify!($method));

            fn request_id(&mut self) -> Option<&mut String> {
                Some(&mut self.request_id)
            }
            $(
                fn validate_only(&self) -> bool {
                    self.$validate_only
                }
            )?
        }
    )+)+};
}

changes! {
    UserService:
        CreateUserRequest of CreateUser,
        UpdateUserRequest of UpdateUser,
        DeleteUserRequest of DeleteUser with validate_only,
        SuspendUserRequest of SuspendUser with validate_only,
        ReactivateUserRequest of ReactivateUser,
        UndeleteUserRequest of UndeleteUser,
        PurgeUserRequest of PurgeUser,
        DeleteOwnUserRequest of DeleteOwnUser,
        GrantPlatformAdminRequest of GrantPlatformAdmin,
        RevokePlatformAdminRequest of RevokePlatformAdmin,
        BatchSuspendUsersRequest of BatchSuspendUsers,
        BatchReactivateUsersRequest of BatchReactivateUsers;
    OrganizationService:
        CreateOrganizationRequest of CreateOrganization,
        UpdateOrganizationRequest of UpdateOrganization,
        DeleteOrganizationRequest of DeleteOrganization with validate_only,
        SuspendOrganizationRequest of SuspendOrganization with validate_only,
        ReactivateOrganizationRequest of ReactivateOrganization,
        UndeleteOrganizationRequest of UndeleteOrganization,
        PurgeOrganizationRequest of PurgeOrganization,
        TransferOwnershipRequest of TransferOwnership with validate_only,
        LeaveOrganizationRequest of LeaveOrganization;
    MembershipService:
        CreateMembershipRequest of CreateMembership,
        UpdateMembershipRequest of UpdateMembership with validate_only,
        DeleteMembershipRequest of DeleteMembership,
        DisableMembershipRequest of DisableMembership,
        EnableMembershipRequest of EnableMembership,
        BatchCreateMembershipsRequest of BatchCreateMemberships,
        BatchUpdateMembershipsRequest of BatchUpdateMemberships,
        BatchDeleteMembershipsRequest of BatchDeleteMemberships;
    RoleService:
        CreateRoleRequest of CreateRole,
        UpdateRoleRequest of UpdateRole,
        DeleteRoleRequest of DeleteRole;
    InvitationService:
        CreateInvitationRequest of CreateInvitation,
        ResendInvitationRequest of ResendInvitation,
        RevokeInvitationRequest of RevokeInvitation,
        AcceptInvitationRequest of AcceptInvitation,
        DeclineInvitationRequest of DeclineInvitation,
        BatchCreateInvitationsRequest of BatchCreateInvitations;
    OauthAccountService:
        LinkOauthAccountRequest of LinkOauthAccount,
        SetOauthAccountTokensRequest of SetOauthAccountTokens,
        UnlinkOauthAccountRequest of UnlinkOauthAccount;
    RefreshTokenService:
        CreateRefreshTokenRequest of CreateRefreshToken,
        RotateRefreshTokenRequest of RotateRefreshToken,
        RevokeRefreshTokenRequest of RevokeRefreshToken;
    SessionService:
        RevokeSessionRequest of RevokeSession,
        RevokeAllSessionsRequest of RevokeAllSessions;
    AuthenticationService:
        SignUpRequest of SignUp,
        SignInRequest of SignIn,
        RefreshRequest of Refresh,
        SignOutRequest of SignOut,
        VerifyPasswordRequest of VerifyPassword,
        SetPasswordRequest of SetPassword,
        ChangePasswordRequest of ChangePassword,
        ImportPasswordHashRequest of ImportPasswordHash,
        RemovePasswordRequest of RemovePassword,
        StartEmailVerificationRequest of StartEmailVerification,
        ConfirmEmailVerificationRequest of ConfirmEmailVerification,
        StartPasswordResetRequest of StartPasswordReset,
        ConfirmPasswordResetRequest of ConfirmPasswordReset,
        StartEmailChangeRequest of StartEmailChange,
        ConfirmEmailChangeRequest of ConfirmEmailChange;
    ApiKeyService:
        CreateApiKeyRequest of CreateApiKey,
        UpdateApiKeyRequest of UpdateApiKey,
        RotateApiKeyRequest of RotateApiKey,
        RevokeApiKeyRequest of RevokeApiKey,
        DisableApiKeyRequest of DisableApiKey,
        EnableApiKeyRequest of EnableApiKey,
        RevokeOwnApiKeyRequest of RevokeOwnApiKey;
}

/// The context of a call, and its violations, independent of the method.
#[derive(Debug, Default)]
pub struct CallContext {
    violations: Vec<Violation>,
    /// Set if the request may be sent again.
    pub once: Option<Once>,
    /// The metadata stored with its events.
    pub metadata: BTreeMap<String, String>,
}

impl CallContext {
    /// Reads the context, and removes the request id from the request.
    pub fn take<R: Act>(headers: &HeaderMap, request: &mut R) -> Self {
        let mut context = Self::default();
        context.read_metadata(headers);
        let id = request.request_id().map(std::mem::take).unwrap_or_default();
        if !id.is_empty() {
            match uuid::<RequestId>(&id) {
                Ok(request_id) => {
                    let digest =
                        Sha256::new().chain_update(R::METHOD).chain_update([0]).chain_update(request.encode_to_vec());
                    context.once = Some(Once { request_id, fingerprint: digest.finalize().into() });
                }
                Err(rule) => context.violation("request_id", rule.to_owned()),
            }
        }
        context
    }

    /// The context of an item of a batch. The batch has the request id and the metadata.
    pub(super) fn of_item<R: Act>(item: &mut R) -> Self {
        let mut context = Self::default();
        if item.request_id().is_some_and(|id| !id.is_empty()) {
            context.violation("request_id", "must be empty: the request id is that of the batch".to_owned());
        }
        if item.validate_only() {
            context.violation("validate_only", "must be false in a batch".to_owned());
        }
        context
    }

    /// Reads the metadata of a refused call for its event. Invalid entries are left out.
    pub fn metadata(headers: &HeaderMap) -> BTreeMap<String, String> {
        let mut context = Self::default();
        context.read_metadata(headers);
        if context.metadata.len() > MAX_ENTRIES { BTreeMap::new() } else { context.metadata }
    }

    fn read_metadata(&mut self, headers: &HeaderMap) {
        let named =
            headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix(METADATA_PREFIX)?, value)));
        for (name, value) in named {
            let printable = value.to_str().ok().filter(|text| text.len() <= MAX_BYTES.1);
            match printable {
                Some(text) if (1..=MAX_BYTES.0).contains(&name.len()) && !name.ends_with("-bin") => {
                    if self.metadata.insert(name.to_owned(), text.to_owned()).is_some() {
                        self.violation(&format!("metadata.{METADATA_PREFIX}{name}"), "must be sent once".to_owned());
                    }
                }
                _ => {
                    let rule = format!(
                        "must have a name of 1 to {} bytes after {METADATA_PREFIX} and a printable ASCII value of at most {} bytes",
                        MAX_BYTES.0, MAX_BYTES.1
                    );
                    self.violation(&format!("metadata.{METADATA_PREFIX}{name}"), rule);
                }
            }
        }
        if self.metadata.len() > MAX_ENTRIES {
            let rule = format!("must have at most {MAX_ENTRIES} entries that begin with {METADATA_PREFIX}");
            self.violation("metadata", rule);
        }
    }

    fn violation(&mut self, field: &str, rule: String) {
        self.violations.push(Violation { field: field.to_owned(), rule });
    }

    /// Adds the violations of the context to those of the fields, so that a caller learns all of them at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every violation.
    pub fn and<T>(&mut self, fields: Result<T>) -> Result<T> {
        let mut violations = std::mem::take(&mut self.violations);
        match fields {
            Err(Error::Invalid(of_fields)) => {
                violations.extend(of_fields);
                Err(Error::Invalid(violations))
            }
            Ok(fields) if violations.is_empty() => Ok(fields),
            Ok(_) => Err(Error::Invalid(violations)),
            Err(error) => Err(error),
        }
    }
}

impl Validation {
    /// True if no violation was noted.
    pub(super) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}
