//! Typed ids, so that the id of a user cannot be passed as that of an organization.

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
    /// The id of a user.
    UserId,
    /// The id of an organization.
    OrganizationId,
    /// The id of a membership.
    MembershipId,
    /// The id of a role.
    RoleId,
    /// The id of an invitation.
    InvitationId,
    /// The id of an OAuth account.
    OauthAccountId,
    /// The id of a session, which all its refresh tokens share.
    SessionId,
    /// The id of an API key.
    ApiKeyId,
    /// The id of an event.
    EventId,
    /// The id of the resource of an event, of any kind.
    ResourceId,
    /// The id of a user or an organization as the owner of an API key.
    PrincipalId,
    /// The id of a mailed token.
    OneTimeTokenId,
    /// The id of a key that signs access tokens.
    SigningKeyId,
    /// The id of a presented credential: an API key, or the session of an access token.
    CredentialId,
    /// The id of a request, the same when it is sent again.
    RequestId,
    /// The id of a person in what is stored: that of a user, or the digest of an e-mail address.
    PersonId,
}
