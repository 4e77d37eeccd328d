//! Typed ids: the id of a user cannot be taken for the id of an organization.

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )+};
}

ids! {
    /// Names a user.
    UserId,
    /// Names an organization.
    OrganizationId,
    /// Names a membership.
    MembershipId,
    /// Names a role.
    RoleId,
    /// Names an invitation.
    InvitationId,
    /// Names an OAuth account.
    OauthAccountId,
    /// Names a session, and with it the refresh tokens that the session has one after the other.
    SessionId,
    /// Names an API key.
    ApiKeyId,
    /// Names an event.
    EventId,
    /// Names the resource of an event, whatever kind it is.
    ResourceId,
    /// Names the user or the organization that an API key belongs to.
    PrincipalId,
    /// Names a token that was mailed.
    OneTimeTokenId,
    /// Names a key that access tokens are signed with.
    SigningKeyId,
    /// Names what a caller presents: an API key, or the session of an access token.
    CredentialId,
    /// Names a request that may be sent again.
    RequestId,
}
