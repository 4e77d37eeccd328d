//! What the state of things can forbid, and what a caller can lack.

use crate::models::OrganizationId;

/// What there is only so much of.
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

/// What the state of things can forbid.
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
    /// A membership has the role, or an invitation gives it.
    RoleInUse,
    /// There are as many as there may be.
    LimitReached(Limit, u32),
    /// The user owns no such organization.
    NotAnOwner,
    /// The presented refresh token cannot be used.
    RefreshTokenRejected,
    /// The invitation can no longer be accepted.
    InvitationExpired,
    /// The invitation is to another address than the user's.
    InvitationEmailMismatch,
    /// The user has not verified its e-mail.
    EmailNotVerified,
    /// Nobody is signed in by the e-mail and the password.
    SignInRejected,
    /// The password is not the user's.
    PasswordRejected,
    /// The mailed token cannot be used.
    OneTimeTokenRejected,
    /// The account has credentials, and none was shown.
    CredentialRequired,
}

impl Precondition {
    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::LastOwner(_) => "it would leave an organization without an active owner; make another owner first",
            Self::LastPlatformAdmin => "it would leave no active platform admin; make another one first",
            Self::UserSuspended => "the user is suspended",
            Self::OrganizationSuspended => "the organization is suspended",
            Self::ApiKeyRevoked => "the API key is revoked",
            Self::RoleInUse => "memberships or invitations have the role; give them another one first",
            Self::LimitReached(Limit::Roles, _) => "the organization has as many roles as it may; delete one first",
            Self::LimitReached(Limit::Members, _) => {
                "the organization has as many members as it may; end a membership first"
            }
            Self::LimitReached(Limit::Invitations, _) => {
                "the organization has as many invitations as it may; revoke one first"
            }
            Self::LimitReached(Limit::ApiKeys, _) => "the owner has as many API keys as it may; revoke one first",
            Self::LimitReached(Limit::Organizations, _) => {
                "the user owns as many organizations as it may; delete one, or hand one over, first"
            }
            Self::LimitReached(Limit::Memberships, _) => "the user has as many memberships as it may; end one first",
            Self::LimitReached(Limit::OauthAccounts, _) => {
                "the user has as many accounts at providers as it may; unlink one first"
            }
            Self::NotAnOwner => "the user whose ownership is to be transferred is no owner of the organization",
            Self::RefreshTokenRejected => "the refresh token cannot be used",
            Self::InvitationExpired => "the invitation has expired; have it sent again",
            Self::InvitationEmailMismatch => "the invitation is to another e-mail than the user's",
            Self::SignInRejected => "nobody is signed in by this e-mail and password",
            Self::PasswordRejected => "the password cannot be used",
            Self::OneTimeTokenRejected => "the token cannot be used; start again",
            Self::CredentialRequired => {
                "the account has credentials and none was shown; send an access token of the user, or reset the password"
            }
            Self::EmailNotVerified => "the user has not verified its e-mail; present the token of the invitation",
        }
    }
}

/// What a caller can lack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The scope that the method asks for.
    ScopeMissing(String),
    /// Platform administration.
    NotPlatformAdmin,
    /// An API key, where it came with an access token.
    ApiKeyRequired,
    /// A role that gives this permission.
    RoleInsufficient(String),
    /// A rate as high as the caller wants to give.
    RateNotHeld,
    /// The current secret of a key, where it came with the former one.
    FormerSecret,
    /// A scope that the caller wants to give.
    ScopeNotHeld(String),
    /// A life as long as the caller wants to give.
    ExpiryNotHeld,
    /// The addresses from which the caller wants to let a key be used.
    IpRangeNotHeld,
}

impl Denial {
    pub(super) fn message(&self) -> String {
        match self {
            Self::ScopeMissing(scope) => format!("the API key lacks the scope {scope}"),
            Self::NotPlatformAdmin => "only a platform admin may do this".to_owned(),
            Self::ApiKeyRequired => "the method takes an API key and not a user's access token".to_owned(),
            Self::RoleInsufficient(permission) => {
                format!("the caller's role in the organization does not give {permission}")
            }
            Self::RateNotHeld => "the caller's API key is held to a rate and cannot give a higher one".to_owned(),
            Self::FormerSecret => {
                "the key was rotated and this is its former secret, which writes no keys; RevokeOwnApiKey takes it"
                    .to_owned()
            }
            Self::ExpiryNotHeld => "the caller's API key expires and cannot give a longer life than its own".to_owned(),
            Self::IpRangeNotHeld => {
                "the caller's API key cannot be used from everywhere and cannot let one be from more".to_owned()
            }
            Self::ScopeNotHeld(scope) => {
                format!("the caller's API key does not hold the scope {scope} and cannot give it")
            }
        }
    }
}
