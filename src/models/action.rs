//! What can happen, each as a word.

use super::{
    ResourceType,
    stored::{StoredText as _, words},
};

words! {
    /// What happened.
    Action {
        /// A user was created.
        UserCreated = "user.created",
        /// A user was updated.
        UserUpdated = "user.updated",
        /// A user was deleted.
        UserDeleted = "user.deleted",
        /// A user was undeleted.
        UserUndeleted = "user.undeleted",
        /// A user was erased.
        UserPurged = "user.purged",
        /// A user was suspended.
        UserSuspended = "user.suspended",
        /// A user was reactivated.
        UserReactivated = "user.reactivated",
        /// A user became a platform admin.
        UserPlatformAdminGranted = "user.platform_admin_granted",
        /// A user is no platform admin any more.
        UserPlatformAdminRevoked = "user.platform_admin_revoked",
        /// A user signed in with its password.
        UserSignedIn = "user.signed_in",
        /// Somebody tried to sign in as a user, or to pass for it, with a wrong password.
        UserSignInFailed = "user.sign_in_failed",
        /// A user showed that it knows its password.
        UserPasswordVerified = "user.password_verified",
        /// A user got its first password.
        UserPasswordSet = "user.password_set",
        /// A user replaced its password.
        UserPasswordChanged = "user.password_changed",
        /// A user got a new password by mail.
        UserPasswordReset = "user.password_reset",
        /// A user got the password that it had elsewhere.
        UserPasswordImported = "user.password_imported",
        /// A user has no password any more.
        UserPasswordRemoved = "user.password_removed",
        /// A token to reset a password was made.
        UserPasswordResetStarted = "user.password_reset_started",
        /// A token to verify an e-mail was made.
        UserEmailVerificationStarted = "user.email_verification_started",
        /// A user's e-mail was verified.
        UserEmailVerified = "user.email_verified",
        /// A token to change an e-mail was made.
        UserEmailChangeStarted = "user.email_change_started",
        /// A user got another e-mail, which is verified.
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
        /// A membership became an owner's in place of another one.
        MembershipOwnershipTransferred = "membership.ownership_transferred",
        /// A membership was deleted.
        MembershipDeleted = "membership.deleted",
        /// A role was created.
        RoleCreated = "role.created",
        /// A role was updated.
        RoleUpdated = "role.updated",
        /// A role was deleted.
        RoleDeleted = "role.deleted",
        /// Somebody was invited.
        InvitationCreated = "invitation.created",
        /// An invitation expired, or no longer names who sent it, by what became of that user.
        InvitationUpdated = "invitation.updated",
        /// An invitation got another token and another life.
        InvitationResent = "invitation.resent",
        /// An invitation was taken back.
        InvitationRevoked = "invitation.revoked",
        /// An invitation became a membership.
        InvitationAccepted = "invitation.accepted",
        /// An invitation was declined.
        InvitationDeclined = "invitation.declined",
        /// An invitation that had expired was removed.
        InvitationExpired = "invitation.expired",
        /// An OAuth account was linked.
        OauthAccountLinked = "oauth_account.linked",
        /// An account got other tokens.
        OauthAccountTokensSet = "oauth_account.tokens_set",
        /// An account's sealed tokens were told.
        OauthAccountTokensOpened = "oauth_account.tokens_opened",
        /// An OAuth account was unlinked.
        OauthAccountUnlinked = "oauth_account.unlinked",
        /// A session began.
        SessionCreated = "session.created",
        /// A session was refreshed: it went on with another token.
        SessionRefreshed = "session.refreshed",
        /// A session was ended.
        SessionRevoked = "session.revoked",
        /// A session was ended because a traded token came again.
        SessionReused = "session.reused",
        /// An API key was created.
        ApiKeyCreated = "api_key.created",
        /// An API key was updated.
        ApiKeyUpdated = "api_key.updated",
        /// An API key got another secret.
        ApiKeyRotated = "api_key.rotated",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key went with its owner.
        ApiKeyDeleted = "api_key.deleted",
        /// An API key no longer names who made it, as that user was erased.
        ApiKeyCreatorErased = "api_key.creator_erased",
        /// A call came with a known key that cannot be used.
        ApiKeyRejected = "api_key.rejected",
        /// A call was denied.
        CallDenied = "call.denied",
    }
}

impl Action {
    /// The kind of resource that it happens to.
    pub fn resource_type(self) -> Option<ResourceType> {
        let (resource, _) = self.as_stored().split_once('.')?;
        ResourceType::from_stored(resource.to_owned()).ok()
    }

    /// The actions that a text names: one, as `user.suspended`, or all of a resource, as `user.*`.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn named(text: &str) -> Result<Vec<Self>, &'static str> {
        let named = |action: &&Self| match text.strip_suffix('*') {
            Some(resource) => resource.ends_with('.') && action.as_stored().starts_with(resource),
            None => action.as_stored() == text,
        };
        let named: Vec<Self> = Self::ALL.iter().filter(named).copied().collect();
        if named.is_empty() {
            Err("must be an action, as user.suspended, or all of a resource, as user.*")
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
        assert_eq!(Action::named("membership.*").map(|all| all.len()), Ok(4));
        for text in ["", "*", ".*", "user", "user*", "us.*", "user.suspended*", "User.Suspended", "nothing.*"] {
            assert!(Action::named(text).is_err(), "{text}");
        }
    }
}
