//! Authority that a call can give. What is given must be covered by what the presented credential holds; `app::authority` decides
//! that, and a transaction that gives without having asked does not commit.

use super::{Action, Change, event::State};

/// A kind of authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// An API key, another secret of one, or a looser one.
    ApiKey,
    /// A role or permissions in an organization, ownership included.
    Permissions,
    /// A session.
    Session,
    /// A way into an account: a password, a mailed token, a link to a provider, another e-mail.
    Account,
    /// A suspended or deleted user or organization comes back.
    Standing,
    /// Platform administration.
    PlatformAdmin,
}

impl Action {
    /// The authority that it can give. A new action is decided here.
    pub fn gives(self) -> Option<Grant> {
        use Action as A;
        match self {
            A::ApiKeyCreated | A::ApiKeyUpdated | A::ApiKeyRotated => Some(Grant::ApiKey),
            A::MembershipCreated
            | A::MembershipUpdated
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
            // A new account and a new organization hold nothing that was there before.
            A::UserCreated
            | A::OrganizationCreated
            | A::OrganizationUpdated
            | A::UserDeleted
            | A::UserPurged
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
            // Of a user's profile only the e-mail opens the account.
            (Some(State::User(before)), Some(State::User(after))) if self.action == Action::UserUpdated => {
                (before.email_normalized != after.email_normalized).then_some(Grant::Account)
            }
            _ => self.action.gives(),
        }
    }
}
