//! Authority that a call can give. The presented credential must hold what it gives. `app::authority` decides that, and a transaction
//! that gives authority without such a decision does not commit.

use super::{Action, Change, event::State};

/// A kind of authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// An API key, a new secret of one, or wider limits of one.
    ApiKey,
    /// A role or permissions in an organization, ownership included.
    Permissions,
    /// A session.
    Session,
    /// A way into an account: a password, a mailed token, a link to a provider, another e-mail.
    Account,
    /// Reactivating or restoring a user or an organization.
    Standing,
    /// Platform administration.
    PlatformAdmin,
}

impl Action {
    /// The authority that the action can give. The match is exhaustive, so that every new action is classified.
    pub fn gives(self) -> Option<Grant> {
        use Action as A;
        match self {
            A::ApiKeyCreated | A::ApiKeyUpdated | A::ApiKeyRotated | A::ApiKeyEnabled => Some(Grant::ApiKey),
            A::MembershipCreated
            | A::MembershipUpdated
            | A::MembershipEnabled
            | A::MembershipOwnershipTransferred
            | A::RoleCreated
            | A::RoleUpdated
            | A::InvitationCreated
            | A::InvitationResent => Some(Grant::Permissions),
            A::SessionCreated | A::SessionRefreshed => Some(Grant::Session),
            A::UserUpdated
            | A::UserPasswordSet
            | A::UserPasswordChanged
            | A::UserPasswordReset
            | A::UserPasswordImported
            | A::UserPasswordResetStarted
            | A::UserEmailVerificationStarted
            | A::UserEmailVerified
            | A::UserEmailChangeStarted
            | A::UserEmailChanged
            | A::OauthAccountLinked => Some(Grant::Account),
            A::UserReactivated | A::UserUndeleted | A::OrganizationReactivated | A::OrganizationUndeleted => {
                Some(Grant::Standing)
            }
            A::UserPlatformAdminGranted => Some(Grant::PlatformAdmin),
            // A new account and a new organization hold nothing that existed before.
            A::UserCreated
            | A::OrganizationCreated
            | A::OrganizationUpdated
            | A::UserDeleted
            | A::UserPurged
            | A::UserErased
            | A::UserSuspended
            | A::UserPlatformAdminRevoked
            | A::UserSignedIn
            | A::UserSignInFailed
            | A::UserPasswordVerified
            | A::UserPasswordRemoved
            | A::OrganizationDeleted
            | A::OrganizationPurged
            | A::OrganizationSuspended
            | A::MembershipDeleted
            | A::MembershipRoleRemoved
            | A::MembershipDisabled
            | A::RoleDeleted
            | A::InvitationUpdated
            | A::InvitationRevoked
            | A::InvitationAccepted
            | A::InvitationDeclined
            | A::InvitationExpired
            | A::OauthAccountTokensSet
            | A::OauthAccountTokensOpened
            | A::OauthAccountUnlinked
            | A::SessionRevoked
            | A::SessionReused
            | A::ApiKeyDisabled
            | A::ApiKeyRevoked
            | A::ApiKeyDeleted
            | A::ApiKeyCreatorErased
            | A::ApiKeyRejected
            | A::CallDenied => None,
        }
    }
}

impl Change {
    /// The authority that it gives.
    pub fn gives(&self) -> Option<Grant> {
        match (&self.before, &self.after) {
            // Of a user's profile, only the e-mail and its proof are ways into the account.
            (Some(State::User(before)), Some(State::User(after))) if self.action == Action::UserUpdated => {
                let is_proven = before.email_verified_at.is_none() && after.email_verified_at.is_some();
                (is_proven || before.email_normalized != after.email_normalized).then_some(Grant::Account)
            }
            _ => self.action.gives(),
        }
    }
}
