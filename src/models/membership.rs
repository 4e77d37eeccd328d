//! Memberships.

use super::{
    MembershipId, OrganizationId, Permissions, Revision, RoleName, Timestamp, UserId, resource::resource, stored::words,
};

/// One user in one organization with one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The id.
    pub id: MembershipId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user's role in the organization.
    pub role: RoleName,
    /// Permissions beyond the role.
    pub permissions: Permissions,
    /// Whether it is in force.
    pub state: MembershipState,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Membership);

words! {
    /// Whether a membership is in force.
    MembershipState {
        /// It grants its role and its permissions.
        Active = "active",
        /// It grants nothing until it is enabled. It is kept, and counts as a membership.
        Disabled = "disabled",
    }
}

/// A membership to create.
#[derive(Clone, Debug)]
pub struct NewMembership {
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user's role in the organization.
    pub role: RoleName,
    /// Permissions beyond the role.
    pub permissions: Permissions,
}

impl NewMembership {
    /// The membership, not yet stored.
    pub fn to_membership(&self, id: MembershipId, now: Timestamp) -> Membership {
        Membership {
            id,
            revision: 1,
            user_id: self.user_id,
            organization_id: self.organization_id,
            role: self.role.clone(),
            permissions: self.permissions.clone(),
            state: MembershipState::Active,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Fields to update; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct MembershipChanges {
    /// The role.
    pub role: Option<RoleName>,
    /// The permissions.
    pub permissions: Option<Permissions>,
}

impl Membership {
    /// True unless it is disabled.
    pub fn is_active(&self) -> bool {
        self.state == MembershipState::Active
    }

    /// Applies `changes`.
    pub fn apply(&mut self, changes: MembershipChanges) {
        // Without `..`: a forgotten field does not compile.
        let MembershipChanges { role, permissions } = changes;
        if let Some(role) = role {
            self.role = role;
        }
        if let Some(permissions) = permissions {
            self.permissions = permissions;
        }
    }
}

/// The two ways to name a membership.
#[derive(Clone, Copy, Debug)]
pub enum MembershipKey {
    /// By its id.
    Id(MembershipId),
    /// By its user and organization.
    Ends(UserId, OrganizationId),
}

/// A filter of memberships. With organization and user it matches at most one.
#[derive(Clone, Debug, Default)]
pub struct MembershipFilter {
    /// The organization.
    pub organization_id: Option<OrganizationId>,
    /// The user.
    pub user_id: Option<UserId>,
    /// The role.
    pub role: Option<RoleName>,
}
