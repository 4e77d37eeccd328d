//! The standing of a member: what decides about its permissions.

use super::{Allowed, Basis, Decision, HeldPermissions};
use crate::models::{Membership, Role, Scope};

/// A member's standing in an organization.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The membership.
    pub membership: Membership,
    /// Its role, unless it is built in or no longer exists.
    pub role: Option<Role>,
    /// Whether the user is active.
    pub user_is_active: bool,
    /// Whether the user is a platform admin.
    pub is_platform_admin: bool,
    /// Whether the organization is active.
    pub organization_is_active: bool,
}

impl Standing {
    /// The reason that decides before any permission is compared.
    fn overriding(&self) -> Option<Basis> {
        if !self.user_is_active {
            Some(Basis::UserSuspended)
        } else if self.is_platform_admin {
            Some(Basis::PlatformAdmin)
        } else if !self.organization_is_active {
            Some(Basis::OrganizationSuspended)
        } else if !self.membership.is_active() {
            Some(Basis::MembershipDisabled)
        } else {
            None
        }
    }

    /// The permissions that the role gives.
    fn by_role(&self) -> HeldPermissions {
        let own = self.role.as_ref().map(|role| role.permissions.clone()).unwrap_or_default();
        HeldPermissions::by(&self.membership.role, &own)
    }

    /// Decides whether the member has a permission.
    pub fn decide(self, permission: &Scope) -> Decision {
        let basis = match self.overriding() {
            Some(basis) => basis,
            None if self.by_role().covers(permission.as_str()) => Basis::Role,
            None if self.membership.permissions.hold(permission) => Basis::Membership,
            None => Basis::NotGiven,
        };
        Decision { basis, membership: Some(self.membership), role: self.role }
    }

    /// Everything that the member may do.
    pub fn allowed(self) -> Allowed {
        let allowed = if let Some(basis) = self.overriding() {
            Allowed::of(basis)
        } else {
            let effective = self.by_role().and(&self.membership.permissions).effective();
            Allowed { effective, ..Allowed::of(Basis::Role) }
        };
        Allowed { membership: Some(self.membership), role: self.role, ..allowed }
    }
}
