//! Memberships.

use super::{
    ExternalId, Fragment, JsonChanges, JsonObject, MembershipId, MetadataFilters, Name, OrganizationId, Permissions,
    Revision, RoleName, Timestamp, UserId, UserState, WebUrl, email::GivenEmail, json::Overflow, resource::resource,
    stored::words,
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
    /// The id of the membership in another system.
    pub external_id: Option<ExternalId>,
    /// Free-form metadata.
    pub metadata: JsonObject,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
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
    /// The id of the membership in another system.
    pub external_id: Option<ExternalId>,
    /// Free-form metadata.
    pub metadata: JsonObject,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
}

impl NewMembership {
    /// A membership with a role and nothing else.
    pub fn with_role(user_id: UserId, organization_id: OrganizationId, role: RoleName) -> Self {
        Self {
            user_id,
            organization_id,
            role,
            permissions: Permissions::default(),
            external_id: None,
            metadata: JsonObject::default(),
            private_metadata: JsonObject::default(),
        }
    }

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
            external_id: self.external_id.clone(),
            metadata: self.metadata.clone(),
            private_metadata: self.private_metadata.clone(),
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
    /// The id of the membership in another system; `Some(None)` removes it.
    pub external_id: Option<Option<ExternalId>>,
    /// Free-form metadata.
    pub metadata: Option<JsonChanges>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: Option<JsonChanges>,
}

impl Membership {
    /// True unless it is disabled.
    pub fn is_active(&self) -> bool {
        self.state == MembershipState::Active
    }

    /// Applies `changes`.
    pub fn apply(&mut self, changes: MembershipChanges) -> Result<(), Overflow> {
        // Without `..`: a forgotten field does not compile.
        let MembershipChanges { role, permissions, external_id, metadata, private_metadata } = changes;
        if let Some(role) = role {
            self.role = role;
        }
        if let Some(permissions) = permissions {
            self.permissions = permissions;
        }
        if let Some(external_id) = external_id {
            self.external_id = external_id;
        }
        if let Some(metadata) = metadata {
            metadata.apply("metadata", &mut self.metadata)?;
        }
        if let Some(private_metadata) = private_metadata {
            private_metadata.apply("private_metadata", &mut self.private_metadata)?;
        }
        Ok(())
    }
}

/// The ways to name a membership.
#[derive(Clone, Debug)]
pub enum MembershipKey {
    /// By its id.
    Id(MembershipId),
    /// By its user and organization.
    Ends(UserId, OrganizationId),
    /// By its organization and its id in another system.
    External(OrganizationId, ExternalId),
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
    /// With these values in their metadata.
    pub metadata: MetadataFilters,
    /// With this id in another system.
    pub external_id: Option<ExternalId>,
}

/// A member of an organization.
#[derive(Clone, Debug)]
pub struct Member {
    /// The membership.
    pub membership: Membership,
    /// The part of the user that other members see.
    pub profile: Profile,
}

/// The part of a user that is listed with each membership.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The user.
    pub user_id: UserId,
    /// The address as given.
    pub email: GivenEmail,
    /// The display name.
    pub name: Name,
    /// The URL of a picture.
    pub avatar_url: Option<WebUrl>,
    /// The state. Members whose user is deleted are not listed.
    pub state: UserState,
    /// When the address was verified.
    pub email_verified_at: Option<Timestamp>,
    /// When a session last began.
    pub last_sign_in_at: Option<Timestamp>,
}

/// The order of members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberOrder {
    /// By when they joined, in the order of the page.
    #[default]
    Joined,
    /// By folded name and e-mail.
    Name,
}

/// A filter of the members of an organization.
#[derive(Clone, Debug)]
pub struct MemberFilter {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Whose name or address contains this.
    pub fragment: Option<Fragment>,
    /// With one of these roles; empty for any.
    pub roles: Vec<RoleName>,
    /// Whose user is in this state; `None` for every state but deleted.
    pub state: Option<UserState>,
    /// Whose membership is in this state; `None` for any.
    pub membership_state: Option<MembershipState>,
    /// These users; `None` for any.
    pub users: Option<Vec<UserId>>,
    /// The order.
    pub order: MemberOrder,
}
