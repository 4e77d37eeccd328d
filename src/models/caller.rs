//! Who is asking, and what that one may touch.

use std::{net::IpAddr, sync::Arc};

use super::{
    ApiKeyId, IpRanges, OrganizationId, PrincipalId, Scope, Scopes, Timestamp, Use, UserId, api_key::KeyPrefix,
};

/// Who is asking: made by the interceptors from the presented API key, read by the handlers.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key that was presented.
    pub api_key_id: ApiKeyId,
    /// Which of the key's secrets was presented.
    pub prefix: KeyPrefix,
    /// The address that the call came from.
    pub address: Option<IpAddr>,
    /// Whose key it is.
    pub principal: Principal,
    /// What the key was made for.
    pub scopes: Arc<Scopes>,
    /// From where the key may be used.
    pub ip_ranges: Arc<IpRanges>,
    /// When the key stops.
    pub expires_at: Option<Timestamp>,
    /// When the presented secret stops, with the key or before it.
    pub ends_at: Option<Timestamp>,
}

/// The owner of a presented key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An organization.
    Organization(OrganizationId),
    /// A user.
    User {
        /// The user.
        id: UserId,
        /// Whether the user is a platform admin, looked up with this call.
        is_platform_admin: bool,
    },
}

/// What a caller may touch. Every repository query on tenant data takes one and puts it into its WHERE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything: a platform admin, or the service itself.
    Everything,
    /// One organization, its memberships, the users who are its members, its keys.
    Organization(OrganizationId),
    /// The user, what belongs to it, and the organizations it is a member of.
    User(UserId),
}

impl Principal {
    /// Its id, whatever it is.
    pub fn id(self) -> PrincipalId {
        match self {
            Self::Organization(id) => PrincipalId(id.0),
            Self::User { id, .. } => PrincipalId(id.0),
        }
    }
}

impl Caller {
    /// What the caller may touch.
    pub fn reach(&self) -> Reach {
        match self.principal {
            Principal::Organization(id) => Reach::Organization(id),
            Principal::User { is_platform_admin: true, .. } => Reach::Everything,
            Principal::User { id, .. } => Reach::User(id),
        }
    }

    /// How the caller uses its key when it calls for a scope.
    pub fn uses_key<'a>(&self, scope: &'a Scope) -> Use<'a> {
        Use { prefix: self.prefix, address: self.address, scope: Some(scope) }
    }

    /// True if the caller is a platform admin.
    pub fn is_platform_admin(&self) -> bool {
        matches!(self.principal, Principal::User { is_platform_admin: true, .. })
    }

    /// The user whose key was presented, if it is a user's.
    pub fn user_id(&self) -> Option<UserId> {
        match self.principal {
            Principal::User { id, .. } => Some(id),
            Principal::Organization(_) => None,
        }
    }
}
