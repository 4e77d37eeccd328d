//! Permissions in an organization: the common vocabulary of roles, memberships, invitations and checks.
//!
//! A permission is a string `resource:verb` with the wildcards of scopes. Those of [`OWN`] open methods of this service; any other
//! belongs to the application, which names, gives and checks it.

mod effective;
mod standing;

pub use self::{
    effective::{Allowed, EffectivePermissions, Holder},
    standing::Standing,
};
use super::{ApiKeyId, Membership, OrganizationId, Permissions, Role, RoleName, Scope, Scopes, UserId, scope};

/// The permissions that open methods of this service.
pub const OWN: [&str; 14] = [
    READ_ORGANIZATION,
    WRITE_ORGANIZATION,
    DELETE_ORGANIZATION,
    TRANSFER_ORGANIZATION,
    READ_MEMBERSHIPS,
    WRITE_MEMBERSHIPS,
    READ_USERS,
    READ_ROLES,
    WRITE_ROLES,
    READ_INVITATIONS,
    WRITE_INVITATIONS,
    READ_API_KEYS,
    WRITE_API_KEYS,
    READ_EVENTS,
];

/// See the organization.
pub const READ_ORGANIZATION: &str = "organizations:read";
/// Change the organization.
pub const WRITE_ORGANIZATION: &str = "organizations:write";
/// Delete the organization.
pub const DELETE_ORGANIZATION: &str = "organizations:delete";
/// Transfer the organization to another owner.
pub const TRANSFER_ORGANIZATION: &str = "organizations:transfer";
/// See the memberships.
pub const READ_MEMBERSHIPS: &str = "memberships:read";
/// Change and end memberships, up to the caller's own permissions.
pub const WRITE_MEMBERSHIPS: &str = "memberships:write";
/// See the members' profiles.
pub const READ_USERS: &str = "users:read";
/// See the organization's roles.
pub const READ_ROLES: &str = "roles:read";
/// Create, change and delete roles, up to the caller's own permissions.
pub const WRITE_ROLES: &str = "roles:write";
/// See the invitations.
pub const READ_INVITATIONS: &str = "invitations:read";
/// Invite users, up to the caller's own permissions.
pub const WRITE_INVITATIONS: &str = "invitations:write";
/// See the organization's API keys.
pub const READ_API_KEYS: &str = "api_keys:read";
/// Create, change and revoke the organization's API keys.
pub const WRITE_API_KEYS: &str = "api_keys:write";
/// See the organization's events.
pub const READ_EVENTS: &str = "events:read";

/// The name of the admin role.
pub const ADMIN: &str = "admin";
/// The name of the member role.
pub const MEMBER: &str = "member";
/// The name of the viewer role.
pub const VIEWER: &str = "viewer";

/// The permissions of every member, whatever the role. They follow from reach.
const OF_EVERY_MEMBER: [&str; 4] = [READ_ORGANIZATION, READ_MEMBERSHIPS, READ_USERS, READ_ROLES];
/// The permissions that the role `member` gives beyond that.
const OF_MEMBERS: [&str; 1] = [READ_INVITATIONS];
/// Denotes all permissions, including unnamed ones.
const UNNAMED: &str = "*";
/// The permissions that the role `admin` does not give.
const NOT_OF_ADMINS: [&str; 2] = [DELETE_ORGANIZATION, TRANSFER_ORGANIZATION];

/// Permissions held in an organization: by a role and other permissions there, within the scopes of the presented credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPermissions {
    base: Base,
    /// Permissions beyond the base.
    given: Permissions,
    /// The scopes of the credential; all scopes if no credential limits it.
    within: Scopes,
    /// Whether the standing itself ends at the scopes: an organization's own key has no person behind it who holds more.
    is_own_key: bool,
}

/// The permission that is missing to do or to give something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingAuthority {
    /// The standing does not cover this permission.
    Standing(String),
    /// The scopes of the credential do not cover it.
    Scope(String),
}

/// The permissions of a role, in ascending order: each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Base {
    Nothing,
    EveryMember,
    Member,
    /// Everything but [`NOT_OF_ADMINS`].
    Admin,
    Everything,
}

impl Base {
    fn of(role: &RoleName) -> Self {
        match role.as_str() {
            RoleName::OWNER => Self::Everything,
            ADMIN => Self::Admin,
            MEMBER => Self::Member,
            _ => Self::EveryMember,
        }
    }

    fn covers(self, permission: &str) -> bool {
        let is_among = |permissions: &[&str]| permissions.contains(&permission);
        match self {
            Self::Nothing => false,
            Self::EveryMember => is_among(&OF_EVERY_MEMBER),
            Self::Member => is_among(&OF_MEMBERS) || is_among(&OF_EVERY_MEMBER),
            Self::Admin => !NOT_OF_ADMINS.iter().any(|withheld| scope::covers(permission, withheld)),
            Self::Everything => true,
        }
    }

    /// The names of its permissions.
    fn names<'n>(self) -> impl Iterator<Item = &'n str> {
        let names: &[&[&str]] = match self {
            Self::Nothing => &[],
            Self::EveryMember => &[&OF_EVERY_MEMBER],
            Self::Member => &[&OF_EVERY_MEMBER, &OF_MEMBERS],
            // They include permissions that have no name yet.
            Self::Admin | Self::Everything => &[&[UNNAMED]],
        };
        names.iter().flat_map(|names| names.iter().copied())
    }
}

impl HeldPermissions {
    fn standing(base: Base, given: Permissions) -> Self {
        Self { base, given, within: Scopes::all(), is_own_key: false }
    }

    /// The permissions of a member: those of the role, and those given beyond it.
    pub fn by(role: &RoleName, given: &Permissions) -> Self {
        Self::standing(Base::of(role), given.clone())
    }

    /// These permissions, limited to the scopes of a credential.
    pub fn within(self, scopes: &Scopes) -> Self {
        Self { within: scopes.clone(), ..self }
    }

    /// The permissions of an organization's own key there, as a caller: those of an admin, limited to its scopes.
    pub fn of_own_key(scopes: &Scopes) -> Self {
        Self { is_own_key: true, ..Self::by(&RoleName::admin(), &Permissions::default()).within(scopes) }
    }

    /// Only the given permissions.
    pub fn only(given: &Permissions) -> Self {
        Self::standing(Base::Nothing, given.clone())
    }

    /// These permissions and more.
    pub fn and(mut self, given: &Permissions) -> Self {
        self.given = self.given.iter().chain(given.iter()).cloned().collect();
        self
    }

    /// The permissions of an organization's own key there: its scopes, and at most those of an admin. So a caller that creates a key, and
    /// must hold everything that the key holds, gains nothing by it.
    pub fn by_own_key(scopes: &Scopes) -> Self {
        if scopes.iter().any(|scope| scope.as_str() == "*") {
            return Self::standing(Base::Admin, Permissions::default());
        }
        let is_withheld = |permission: &&str| NOT_OF_ADMINS.contains(permission);
        let held = scopes.iter().flat_map(|scope| {
            if !NOT_OF_ADMINS.iter().any(|withheld| scope::covers(scope.as_str(), withheld)) {
                return vec![scope.clone()];
            }
            let all = OWN.into_iter().filter(|permission| scope::covers(scope.as_str(), permission));
            all.filter(|permission| !is_withheld(permission))
                .filter_map(|permission| Scope::parse(permission).ok())
                .collect()
        });
        Self::only(&held.collect())
    }

    /// The permissions of platform admins, everywhere.
    pub fn everything() -> Self {
        Self::standing(Base::Everything, Permissions::default())
    }

    /// The permissions of a non-member.
    pub fn nothing() -> Self {
        Self::standing(Base::Nothing, Permissions::default())
    }

    /// Requires a permission, or everything that a wildcard covers.
    ///
    /// # Errors
    /// The permission, and whether the standing or the scopes lack it.
    pub fn require(&self, permission: &str) -> Result<(), MissingAuthority> {
        if !self.standing_covers(permission) {
            Err(MissingAuthority::Standing(permission.to_owned()))
        } else if !self.within.cover(permission) {
            Err(MissingAuthority::Scope(permission.to_owned()))
        } else {
            Ok(())
        }
    }

    /// True if a permission, or everything that a wildcard covers, is held.
    pub fn covers(&self, permission: &str) -> bool {
        self.require(permission).is_ok()
    }

    /// Requires everything in `other`, to give it.
    ///
    /// # Errors
    /// The first missing permission, and whether the standing or the scopes lack it; `*` for unnamed ones.
    pub fn require_all(&self, other: &Self) -> Result<(), MissingAuthority> {
        self.outranks(other)?;
        match other.all().into_iter().find(|permission| !self.within.cover(permission)) {
            Some(permission) => Err(MissingAuthority::Scope(permission.to_owned())),
            None => Ok(()),
        }
    }

    /// Requires everything in `other`, to take it away. The scopes of a user's credential do not matter for that; those of an
    /// organization's own key are all that it holds, beyond what every member may see.
    ///
    /// # Errors
    /// The first missing permission, and whether the standing or the scopes lack it; `*` for unnamed ones.
    pub fn outranks(&self, other: &Self) -> Result<(), MissingAuthority> {
        let base = other.base.names().map(|permission| (permission, self.base >= other.base));
        let given = other.given.iter().map(|permission| (permission.as_str(), false));
        for (permission, is_of_base) in base.chain(given) {
            if !is_of_base && !self.standing_covers(permission) {
                return Err(MissingAuthority::Standing(permission.to_owned()));
            }
            let is_of_every_member = OF_EVERY_MEMBER.contains(&permission);
            if self.is_own_key && !is_of_every_member && !self.within.cover(permission) {
                return Err(MissingAuthority::Scope(permission.to_owned()));
            }
        }
        Ok(())
    }

    /// True if everything in `other` is held here, within the scopes.
    pub fn covers_all(&self, other: &Self) -> bool {
        self.require_all(other).is_ok()
    }

    fn standing_covers(&self, permission: &str) -> bool {
        self.base.covers(permission) || self.given.iter().any(|given| scope::covers(given.as_str(), permission))
    }

    /// The names of all permissions held.
    fn all(&self) -> Vec<&str> {
        self.base.names().chain(self.given.iter().map(Scope::as_str)).collect()
    }
}

/// The subject of a check.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// A user.
    User(UserId),
    /// The holder of a key.
    ApiKey(ApiKeyId),
}

/// A permission check.
#[derive(Clone, Debug)]
pub struct Question {
    /// The subject.
    pub subject: Subject,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The permission, without wildcards.
    pub permission: Scope,
}

/// The reason of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Allowed by the membership's role.
    Role,
    /// Allowed by the membership, beyond its role.
    Membership,
    /// Allowed to a platform admin.
    PlatformAdmin,
    /// Allowed to the organization's own key.
    OrganizationKey,
    /// Denied: not given.
    NotGiven,
    /// Denied: not a member of the organization.
    NotAMember,
    /// Denied: the user is suspended.
    UserSuspended,
    /// Denied: the organization is suspended.
    OrganizationSuspended,
    /// Denied: the membership is disabled.
    MembershipDisabled,
    /// Denied: the key is revoked.
    ApiKeyRevoked,
    /// Denied: the key has expired.
    ApiKeyExpired,
    /// Denied: the key is disabled.
    ApiKeyDisabled,
    /// Denied: the key's scopes do not cover it.
    ScopeMissing,
}

impl Basis {
    /// True if the decision is to allow.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Role | Self::Membership | Self::PlatformAdmin | Self::OrganizationKey)
    }
}

/// A decision and its reason.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The reason.
    pub basis: Basis,
    /// The membership, if any.
    pub membership: Option<Membership>,
    /// The membership's role, unless it is built in.
    pub role: Option<Role>,
}

impl Decision {
    /// A decision without a membership.
    pub fn of(basis: Basis) -> Self {
        Self { basis, membership: None, role: None }
    }
}

#[cfg(test)]
mod tests;
