//! The caller, and what it may access.

use std::{net::IpAddr, sync::Arc};

use super::{
    ApiKeyId, CredentialId, IpRanges, OrganizationId, PrincipalId, Scopes, SessionId, Timestamp, UserId,
    api_key::KeyPrefix,
};

/// The caller: built by the interceptors from the presented credential, read by the handlers.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The presented credential.
    pub presented: Presented,
    /// The address that the call came from.
    pub address: Option<IpAddr>,
    /// The owner of the credential.
    pub principal: Principal,
    /// The principal whose share of the server the call uses: the user or, for an organization's key, the user whom the organization was
    /// created for, while that user owns it, and otherwise the organization. Limits per caller are counted for this principal, so creating
    /// more keys does not raise them.
    pub accountable: PrincipalId,
    /// The scopes of the credential.
    pub scopes: Arc<Scopes>,
    /// The addresses that the credential may be used from.
    pub ip_ranges: Arc<IpRanges>,
    /// Maximum calls per second, if the credential sets it.
    pub rate_limit: Option<u32>,
    /// When the key or the session expires. Keys that its owner creates with it cannot outlive it.
    pub expires_at: Option<Timestamp>,
    /// When the presented secret or token expires, at the latest with the key or the session.
    pub ends_at: Option<Timestamp>,
    /// True for the former secret of a rotated key.
    pub is_former_secret: bool,
}

/// A presented credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// An API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// The prefix of the presented secret.
        prefix: KeyPrefix,
    },
    /// The access token of a user's session.
    Session(SessionId),
}

impl Presented {
    /// The id of the key or the session.
    pub fn id(self) -> CredentialId {
        match self {
            Self::ApiKey { id, .. } => CredentialId(id.0),
            Self::Session(id) => CredentialId(id.0),
        }
    }
}

/// A resource as one reader sees it: `private_metadata` is for platform admins only.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    /// The resource.
    pub resource: T,
    /// True if the reader sees all of it.
    pub is_whole: bool,
}

impl<T> Seen<T> {
    /// All of a resource, for a platform admin and for what the service itself stores.
    pub fn whole(resource: T) -> Self {
        Self { resource, is_whole: true }
    }
}

/// The owner of a presented credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An organization.
    Organization(OrganizationId),
    /// A user.
    User {
        /// The user.
        id: UserId,
        /// Whether the user acts as a platform admin, as looked up for this call. Always false with an access token.
        is_platform_admin: bool,
    },
}

/// The data that a caller may access. Every repository query on tenant data takes a reach as part of its WHERE clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything: a platform admin, or the service itself. Only the constructors below create it.
    Everything(Unbounded),
    /// One organization, its memberships, the users who are its members, and its keys.
    Organization(OrganizationId),
    /// The user, what belongs to the user, and the organizations that the user is a member of.
    User(UserId),
}

/// The right to unbounded reach, which only this module gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unbounded(());

impl Reach {
    /// Everything, for a row that a secret names, which only its holder presents.
    pub fn by_secret() -> Self {
        Self::Everything(Unbounded(()))
    }

    /// Everything, for work of the service itself: jobs, the command line, and what the caller's own reach is derived from.
    pub fn by_system() -> Self {
        Self::Everything(Unbounded(()))
    }

    /// Whether it is everything.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::Everything(_))
    }
}

impl Principal {
    /// The id of the organization or the user.
    pub fn id(self) -> PrincipalId {
        match self {
            Self::Organization(id) => PrincipalId(id.0),
            Self::User { id, .. } => PrincipalId(id.0),
        }
    }
}

impl Caller {
    /// The data that the caller may access.
    pub fn reach(&self) -> Reach {
        match self.principal {
            Principal::Organization(id) => Reach::Organization(id),
            Principal::User { is_platform_admin: true, .. } => Reach::Everything(Unbounded(())),
            Principal::User { id, .. } => Reach::User(id),
        }
    }

    /// A resource as the caller sees it.
    pub fn sees<T>(&self, resource: T) -> Seen<T> {
        Seen { resource, is_whole: self.is_platform_admin() }
    }

    /// The caller with an access token of a session. It holds all scopes: everything that its user may do.
    pub fn of_session(session: SessionId, user: UserId, session_ends_at: Timestamp, token_ends_at: Timestamp) -> Self {
        Self {
            presented: Presented::Session(session),
            address: None,
            principal: Principal::User { id: user, is_platform_admin: false },
            accountable: PrincipalId(user.0),
            scopes: Arc::new(Scopes::all()),
            ip_ranges: Arc::default(),
            rate_limit: None,
            expires_at: Some(session_ends_at),
            ends_at: Some(token_ends_at),
            is_former_secret: false,
        }
    }

    /// The presented API key, if any.
    pub fn api_key_id(&self) -> Option<ApiKeyId> {
        match self.presented {
            Presented::ApiKey { id, .. } => Some(id),
            Presented::Session(_) => None,
        }
    }

    /// The session of the presented access token, if any.
    pub fn session(&self) -> Option<SessionId> {
        match self.presented {
            Presented::ApiKey { .. } => None,
            Presented::Session(id) => Some(id),
        }
    }

    /// True if the caller is a platform admin.
    pub fn is_platform_admin(&self) -> bool {
        matches!(self.principal, Principal::User { is_platform_admin: true, .. })
    }

    /// The creator recorded for a resource: the user, and whether that user acts as a platform admin for another owner.
    pub fn maker(&self, owner: Option<UserId>) -> (Option<UserId>, bool) {
        (self.user_id(), self.is_platform_admin() && owner != self.user_id())
    }

    /// The user who owns the credential, unless an organization does.
    pub fn user_id(&self) -> Option<UserId> {
        match self.principal {
            Principal::User { id, .. } => Some(id),
            Principal::Organization(_) => None,
        }
    }
}
