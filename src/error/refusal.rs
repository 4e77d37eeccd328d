//! Reasons why the current state or the caller's rights do not allow a call.

use crate::models::OrganizationId;

/// Resources with a maximum number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Roles of an organization.
    Roles,
    /// Members of an organization.
    Members,
    /// Invitations of an organization.
    Invitations,
    /// Keys of an owner that are not revoked.
    ApiKeys,
    /// Organizations that a user owns and that are not deleted.
    Organizations,
    /// Memberships of a user.
    Memberships,
    /// OAuth accounts of a user.
    OauthAccounts,
}

impl Limit {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Roles => "roles",
            Self::Members => "members",
            Self::Invitations => "invitations",
            Self::ApiKeys => "api_keys",
            Self::Organizations => "organizations",
            Self::Memberships => "memberships",
            Self::OauthAccounts => "oauth_accounts",
        }
    }
}

/// Why the current state does not allow a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// These organizations would be left without an active owner.
    LastOwner(Vec<OrganizationId>),
    /// The platform would be left without an active platform admin.
    LastPlatformAdmin,
    /// The user is suspended.
    UserSuspended,
    /// The organization is suspended.
    OrganizationSuspended,
    /// The key is revoked.
    ApiKeyRevoked,
    /// The membership is disabled.
    MembershipDisabled,
    /// A membership has the role, or an invitation gives it.
    RoleInUse,
    /// The maximum number is reached.
    LimitReached(Limit, u32),
    /// The user does not own the organization.
    NotAnOwner,
    /// The presented refresh token cannot be used.
    RefreshTokenRejected,
    /// The invitation has expired.
    InvitationExpired,
    /// The invitation was sent to another address than the user's.
    InvitationEmailMismatch,
    /// The user has not verified its e-mail.
    EmailNotVerified,
    /// The e-mail and the password do not sign in any user.
    SignInRejected,
    /// The password is not the user's.
    PasswordRejected,
    /// The mailed token cannot be used.
    OneTimeTokenRejected,
    /// The account has credentials, and none was shown.
    CredentialRequired,
    /// The user has not just proven its identity.
    ProofRequired,
}

impl Precondition {
    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::LastOwner(_) => "it would leave an organization without an active owner; make another owner first",
            Self::LastPlatformAdmin => "it would leave no active platform admin; make another one first",
            Self::UserSuspended => "the user is suspended",
            Self::OrganizationSuspended => "the organization is suspended",
            Self::ApiKeyRevoked => "the API key is revoked",
            Self::MembershipDisabled => "the membership is disabled; enable it first",
            Self::RoleInUse => "memberships or invitations still use the role; change them to another role first",
            Self::LimitReached(Limit::Roles, _) => "the organization has the maximum number of roles; delete one first",
            Self::LimitReached(Limit::Members, _) => {
                "the organization has the maximum number of members; end a membership first"
            }
            Self::LimitReached(Limit::Invitations, _) => {
                "the organization has the maximum number of invitations; revoke one first"
            }
            Self::LimitReached(Limit::ApiKeys, _) => "the owner has the maximum number of API keys; revoke one first",
            Self::LimitReached(Limit::Organizations, _) => {
                "the user owns the maximum number of organizations; delete or transfer one first"
            }
            Self::LimitReached(Limit::Memberships, _) => {
                "the user has the maximum number of memberships; end one first"
            }
            Self::LimitReached(Limit::OauthAccounts, _) => {
                "the user has the maximum number of OAuth accounts; unlink one first"
            }
            Self::NotAnOwner => "the user whose ownership is to be transferred does not own the organization",
            Self::RefreshTokenRejected => "the refresh token cannot be used",
            Self::InvitationExpired => "the invitation has expired; ask for it to be resent",
            Self::InvitationEmailMismatch => "the invitation was sent to another e-mail than the user's",
            Self::SignInRejected => "this e-mail and password cannot be used to sign in",
            Self::PasswordRejected => "the password cannot be used",
            Self::OneTimeTokenRejected => "the token cannot be used; start again",
            Self::CredentialRequired => {
                "the account has credentials and none was presented; send an access token of the user, or reset the password"
            }
            Self::ProofRequired => {
                "the user must prove its identity: send the password or, for a user without one, the access token of a session that has just begun"
            }
            Self::EmailNotVerified => "the user has not verified its e-mail; present the token of the invitation",
        }
    }
}

/// Rights that a caller can lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The scope that the method requires.
    ScopeMissing(String),
    /// Platform administration.
    NotPlatformAdmin,
    /// An API key; the caller presented an access token.
    ApiKeyRequired,
    /// A role that gives this permission.
    RoleInsufficient(String),
    /// A rate limit as high as the caller wants to give.
    RateNotHeld,
    /// The current secret of a key; the caller presented the former one.
    FormerSecret,
    /// A scope that the caller wants to give.
    ScopeNotHeld(String),
    /// A lifetime as long as the caller wants to give.
    ExpiryNotHeld,
    /// The addresses that the caller wants to allow for a key.
    IpRangeNotHeld,
}

impl Denial {
    pub(super) fn message(&self) -> String {
        match self {
            Self::ScopeMissing(scope) => format!("the API key lacks the scope {scope}"),
            Self::NotPlatformAdmin => "only a platform admin may do this".to_owned(),
            Self::ApiKeyRequired => "the method requires an API key, not a user's access token".to_owned(),
            Self::RoleInsufficient(permission) => {
                format!("the caller's role in the organization does not give {permission}")
            }
            Self::RateNotHeld => "the caller's API key has a rate limit and cannot give a higher one".to_owned(),
            Self::FormerSecret => {
                "the key was rotated and this is its former secret, which cannot write keys; RevokeOwnApiKey accepts it"
                    .to_owned()
            }
            Self::ExpiryNotHeld => {
                "the caller's API key expires and cannot give a longer lifetime than its own".to_owned()
            }
            Self::IpRangeNotHeld => {
                "the caller's API key is limited to IP ranges and cannot allow any others".to_owned()
            }
            Self::ScopeNotHeld(scope) => {
                format!("the caller's API key does not hold the scope {scope} and cannot give it")
            }
        }
    }
}
