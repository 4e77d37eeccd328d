//! Who is asking, and what that one may touch.

use std::{net::IpAddr, sync::Arc};

use super::{
    ApiKeyId, CredentialId, IpRanges, OrganizationId, PrincipalId, Scopes, SessionId, Timestamp, UserId,
    api_key::KeyPrefix,
};

/// Who is asking: made by the interceptors from the presented credential, read by the handlers.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What was presented.
    pub presented: Presented,
    /// The address that the call came from.
    pub address: Option<IpAddr>,
    /// Whose it is.
    pub principal: Principal,
    /// Whose share of the server the call uses: the user; for an organization's key the user that it was created for, or whom its
    /// ownership was transferred to, as long as that one owns it, and otherwise the organization. Whatever is bounded for each caller
    /// is counted for this one, so that more keys or organizations are not more of it.
    pub accountable: PrincipalId,
    /// What it was made for.
    pub scopes: Arc<Scopes>,
    /// From where it may be used.
    pub ip_ranges: Arc<IpRanges>,
    /// How many calls a second it may make, if it says so itself.
    pub rate_limit: Option<u32>,
    /// When the key, or the session, stops: what its owner makes with it cannot last longer.
    pub expires_at: Option<Timestamp>,
    /// When what was presented stops, with the key or the session or before it.
    pub ends_at: Option<Timestamp>,
    /// True for the former secret of a key that was rotated.
    pub is_former_secret: bool,
}

/// What a caller presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// An API key.
    ApiKey {
        /// The key.
        id: ApiKeyId,
        /// Which of its secrets.
        prefix: KeyPrefix,
    },
    /// The access token of a user's session.
    Session(SessionId),
}

impl Presented {
    /// Its id, whatever it is.
    pub fn id(self) -> CredentialId {
        match self {
            Self::ApiKey { id, .. } => CredentialId(id.0),
            Self::Session(id) => CredentialId(id.0),
        }
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
        /// Whether the user acts as a platform admin, looked up with this call: never with an access token.
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

    /// Who calls with an access token of a session that ends sometime: for everything that its user may do.
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

    /// The presented API key, if it is one.
    pub fn api_key_id(&self) -> Option<ApiKeyId> {
        match self.presented {
            Presented::ApiKey { id, .. } => Some(id),
            Presented::Session(_) => None,
        }
    }

    /// The session of the presented access token, if it is one.
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

    /// Who makes or sends something: the user, and whether it acts as a platform admin for somebody else.
    pub fn maker(&self, owner: Option<UserId>) -> (Option<UserId>, bool) {
        (self.user_id(), self.is_platform_admin() && owner != self.user_id())
    }

    /// The user whose credential was presented, if it is a user's.
    pub fn user_id(&self) -> Option<UserId> {
        match self.principal {
            Principal::User { id, .. } => Some(id),
            Principal::Organization(_) => None,
        }
    }
}
