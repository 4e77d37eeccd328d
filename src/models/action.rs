//! The actions that events report.

use super::{
    ResourceType,
    stored::{StoredText as _, words},
};

words! {
    /// An action that an event reports.
    Action {
        /// A user was created.
        UserCreated = "user.created",
        /// A user was updated.
        UserUpdated = "user.updated",
        /// A user was deleted.
        UserDeleted = "user.deleted",
        /// A user was undeleted.
        UserUndeleted = "user.undeleted",
        /// A user was purged.
        UserPurged = "user.purged",
        /// Nothing that identifies a purged user is stored any more.
        UserErased = "user.erased",
        /// A user was suspended.
        UserSuspended = "user.suspended",
        /// A user was reactivated.
        UserReactivated = "user.reactivated",
        /// A user became a platform admin.
        UserPlatformAdminGranted = "user.platform_admin_granted",
        /// A user is no longer a platform admin.
        UserPlatformAdminRevoked = "user.platform_admin_revoked",
        /// A user signed in with a password.
        UserSignedIn = "user.signed_in",
        /// A wrong password was presented for a user.
        UserSignInFailed = "user.sign_in_failed",
        /// A user proved the current password.
        UserPasswordVerified = "user.password_verified",
        /// A user got its first password.
        UserPasswordSet = "user.password_set",
        /// A user changed the password.
        UserPasswordChanged = "user.password_changed",
        /// A user reset the password with a mailed token.
        UserPasswordReset = "user.password_reset",
        /// A password hash of another system was imported for a user.
        UserPasswordImported = "user.password_imported",
        /// The password of a user was removed.
        UserPasswordRemoved = "user.password_removed",
        /// A token to reset a password was issued.
        UserPasswordResetStarted = "user.password_reset_started",
        /// A token to verify an e-mail was issued.
        UserEmailVerificationStarted = "user.email_verification_started",
        /// A user's e-mail was verified.
        UserEmailVerified = "user.email_verified",
        /// A token to change an e-mail was issued.
        UserEmailChangeStarted = "user.email_change_started",
        /// A user's e-mail was changed to a verified one.
        UserEmailChanged = "user.email_changed",
        /// An organization was created.
        OrganizationCreated = "organization.created",
        /// An organization was updated.
        OrganizationUpdated = "organization.updated",
        /// An organization was deleted.
        OrganizationDeleted = "organization.deleted",
        /// An organization was undeleted.
        OrganizationUndeleted = "organization.undeleted",
        /// An organization was purged.
        OrganizationPurged = "organization.purged",
        /// An organization was suspended.
        OrganizationSuspended = "organization.suspended",
        /// An organization was reactivated.
        OrganizationReactivated = "organization.reactivated",
        /// A membership was created.
        MembershipCreated = "membership.created",
        /// A membership was updated.
        MembershipUpdated = "membership.updated",
        /// Ownership was transferred to a member.
        MembershipOwnershipTransferred = "membership.ownership_transferred",
        /// A membership was disabled.
        MembershipDisabled = "membership.disabled",
        /// A membership was enabled.
        MembershipEnabled = "membership.enabled",
        /// A membership was deleted.
        MembershipDeleted = "membership.deleted",
        /// The role of a deleted user's membership was deleted. The membership has the role `viewer` from then on.
        MembershipRoleRemoved = "membership.role_removed",
        /// A role was created.
        RoleCreated = "role.created",
        /// A role was updated.
        RoleUpdated = "role.updated",
        /// A role was deleted.
        RoleDeleted = "role.deleted",
        /// An invitation was created.
        InvitationCreated = "invitation.created",
        /// An invitation expired, or its sender was erased, because of a change to that user.
        InvitationUpdated = "invitation.updated",
        /// An invitation got a new token and a new lifetime.
        InvitationResent = "invitation.resent",
        /// An invitation was revoked.
        InvitationRevoked = "invitation.revoked",
        /// An invitation was accepted.
        InvitationAccepted = "invitation.accepted",
        /// An invitation was declined.
        InvitationDeclined = "invitation.declined",
        /// An expired invitation was removed.
        InvitationExpired = "invitation.expired",
        /// An OAuth account was linked.
        OauthAccountLinked = "oauth_account.linked",
        /// The tokens of an OAuth account were replaced.
        OauthAccountTokensSet = "oauth_account.tokens_set",
        /// The sealed tokens of an OAuth account were opened.
        OauthAccountTokensOpened = "oauth_account.tokens_opened",
        /// An OAuth account was unlinked.
        OauthAccountUnlinked = "oauth_account.unlinked",
        /// A session began.
        SessionCreated = "session.created",
        /// A session was refreshed: it went on with another token.
        SessionRefreshed = "session.refreshed",
        /// A session was ended.
        SessionRevoked = "session.revoked",
        /// A session ended because a spent token was presented again.
        SessionReused = "session.reused",
        /// An API key was created.
        ApiKeyCreated = "api_key.created",
        /// An API key was updated.
        ApiKeyUpdated = "api_key.updated",
        /// An API key got a new secret.
        ApiKeyRotated = "api_key.rotated",
        /// An API key was disabled.
        ApiKeyDisabled = "api_key.disabled",
        /// An API key was enabled.
        ApiKeyEnabled = "api_key.enabled",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key was deleted with its owner.
        ApiKeyDeleted = "api_key.deleted",
        /// The creator of an API key was erased from it, because that user was purged.
        ApiKeyCreatorErased = "api_key.creator_erased",
        /// A call presented an existing key that cannot be used.
        ApiKeyRejected = "api_key.rejected",
        /// A call was denied.
        CallDenied = "call.denied",
    }
}

impl Action {
    /// The kind of resource that the action applies to.
    pub fn resource_type(self) -> Option<ResourceType> {
        let (resource, _) = self.as_stored().split_once('.')?;
        ResourceType::from_stored(resource.to_owned()).ok()
    }

    /// The actions that a text selects: one, as in `user.suspended`, or all of a resource, as in `user.*`.
    pub fn named(text: &str) -> Result<Vec<Self>, &'static str> {
        let named = |action: &&Self| match text.strip_suffix('*') {
            Some(resource) => resource.ends_with('.') && action.as_stored().starts_with(resource),
            None => action.as_stored() == text,
        };
        let named: Vec<Self> = Self::ALL.iter().filter(named).copied().collect();
        if named.is_empty() {
            Err("must be an action such as user.suspended, or all of a resource such as user.*")
        } else {
            Ok(named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_but_one_happens_to_a_resource() {
        let without = Action::ALL.iter().filter(|action| action.resource_type().is_none());
        assert_eq!(without.collect::<Vec<_>>(), [&Action::CallDenied]);
    }

    #[test]
    fn a_text_names_one_action_or_all_of_a_resource() {
        assert_eq!(Action::named("user.suspended"), Ok(vec![Action::UserSuspended]));
        assert_eq!(Action::named("membership.*").map(|all| all.len()), Ok(7));
        for text in ["", "*", ".*", "user", "user*", "us.*", "user.suspended*", "User.Suspended", "nothing.*"] {
            assert!(Action::named(text).is_err(), "{text}");
        }
    }
}
