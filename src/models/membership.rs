//! Memberships.

use super::{MembershipId, OrganizationId, Permissions, Revision, RoleName, Timestamp, UserId, locked::resource};

/// One user in one organization with one role.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Names it.
    pub id: MembershipId,
    /// Counts its writes.
    pub revision: Revision,
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// What the user is there.
    pub role: RoleName,
    /// What the user may do beyond the role.
    pub permissions: Permissions,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Membership);

/// What a new membership is made of.
#[derive(Clone, Debug)]
pub struct NewMembership {
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// What the user will be there.
    pub role: RoleName,
    /// What the user may do beyond the role.
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
            created_at: now,
            updated_at: now,
        }
    }
}

/// What an update writes; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct MembershipChanges {
    /// The role.
    pub role: Option<RoleName>,
    /// The permissions.
    pub permissions: Option<Permissions>,
}

impl Membership {
    /// Writes `changes`.
    pub fn apply(&mut self, changes: MembershipChanges) {
        if let Some(role) = changes.role {
            self.role = role;
        }
        if let Some(permissions) = changes.permissions {
            self.permissions = permissions;
        }
    }
}

/// The two ways to name a membership.
#[derive(Clone, Copy, Debug)]
pub enum MembershipKey {
    /// By its id.
    Id(MembershipId),
    /// By its two ends.
    Ends(UserId, OrganizationId),
}

/// Which memberships a list holds: of an organization, of a user, or the one of both.
#[derive(Clone, Debug, Default)]
pub struct MembershipFilter {
    /// In this organization.
    pub organization_id: Option<OrganizationId>,
    /// Of this user.
    pub user_id: Option<UserId>,
    /// With this role.
    pub role: Option<RoleName>,
}
