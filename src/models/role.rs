//! Roles of organizations. `permission` defines the built-in ones.

use super::{
    HeldPermissions, Name, OrganizationId, Permissions, Revision, RoleId, Timestamp, permission,
    permission::EffectivePermissions, resource::resource, stored::stored_as_is,
};

/// A role that an organization defines.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// The id.
    pub id: RoleId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The name that memberships refer to.
    pub name: RoleName,
    /// The name to show people.
    pub display_name: Option<Name>,
    /// The description.
    pub description: Option<Name>,
    /// The permissions that it gives.
    pub permissions: Permissions,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Role);

/// A role to create.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The name that memberships refer to.
    pub name: RoleName,
    /// The name to show people.
    pub display_name: Option<Name>,
    /// The description.
    pub description: Option<Name>,
    /// The permissions that it gives.
    pub permissions: Permissions,
}

impl NewRole {
    /// The role, not yet stored.
    pub fn to_role(&self, id: RoleId, now: Timestamp) -> Role {
        Role {
            id,
            revision: 1,
            organization_id: self.organization_id,
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            description: self.description.clone(),
            permissions: self.permissions.clone(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// Fields to update; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct RoleChanges {
    /// The name to show people; `Some(None)` removes it.
    pub display_name: Option<Option<Name>>,
    /// The description; `Some(None)` removes it.
    pub description: Option<Option<Name>>,
    /// The permissions.
    pub permissions: Option<Permissions>,
}

impl Role {
    /// The permissions that it gives beyond those of every member.
    pub fn gives(&self) -> HeldPermissions {
        HeldPermissions::only(&self.permissions)
    }

    /// Applies `changes`.
    pub fn apply(&mut self, changes: RoleChanges) {
        // Without `..`: a forgotten field does not compile.
        let RoleChanges { display_name, description, permissions } = changes;
        if let Some(display_name) = display_name {
            self.display_name = display_name;
        }
        if let Some(description) = description {
            self.description = description;
        }
        if let Some(permissions) = permissions {
            self.permissions = permissions;
        }
    }
}

/// A built-in role, which every organization has. It is not stored, so it has no id, and it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInRole {
    /// `owner`.
    Owner,
    /// `admin`.
    Admin,
    /// `member`.
    Member,
    /// `viewer`.
    Viewer,
}

impl BuiltInRole {
    /// All of them, each including what the next one gives.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Viewer];

    /// The built-in role of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// The name that memberships refer to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => RoleName::OWNER,
            Self::Admin => permission::ADMIN,
            Self::Member => permission::MEMBER,
            Self::Viewer => permission::VIEWER,
        }
    }

    /// The name.
    pub fn name(self) -> RoleName {
        RoleName(self.as_str().to_owned())
    }

    /// The name to show people.
    pub fn display_name(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::Member => "Member",
            Self::Viewer => "Viewer",
        }
    }

    /// Its purpose.
    pub fn description(self) -> &'static str {
        match self {
            Self::Owner => "Holds every permission, and can transfer and delete the organization",
            Self::Admin => "Holds every permission except to transfer and to delete the organization",
            Self::Member => "Sees the organization, its members, its roles and its invitations",
            Self::Viewer => "Sees the organization, its members and its roles",
        }
    }

    /// Everything that it gives.
    pub fn gives(self) -> EffectivePermissions {
        HeldPermissions::by(&self.name(), &Permissions::default()).effective()
    }
}

/// A role of an organization, built in or custom.
#[derive(Clone, Debug)]
pub enum RoleOf {
    /// A built-in one.
    BuiltIn(OrganizationId, BuiltInRole),
    /// A custom one.
    Custom(Role),
}

impl From<Role> for RoleOf {
    fn from(role: Role) -> Self {
        Self::Custom(role)
    }
}

/// The two ways to name a role.
#[derive(Clone, Debug)]
pub enum RoleKey {
    /// By its id.
    Id(RoleId),
    /// By its organization and name.
    Named(OrganizationId, RoleName),
}

/// The name of a role: 1 to 63 of `a-z`, `0-9`, `_` and `-`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName(String);

impl RoleName {
    /// The name of the owner role.
    pub const OWNER: &'static str = "owner";

    /// The owner role.
    pub fn owner() -> Self {
        Self(Self::OWNER.to_owned())
    }

    /// The admin role.
    pub fn admin() -> Self {
        Self(permission::ADMIN.to_owned())
    }

    /// The viewer role.
    pub fn viewer() -> Self {
        Self(permission::VIEWER.to_owned())
    }

    /// Parses the name of a role, built in or not.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if is_word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter")
        }
    }

    /// Parses the name of a role that an organization defines, which must not be built in.
    pub fn parse_own(text: &str) -> Result<Self, &'static str> {
        match Self::parse(text)? {
            name if name.is_built_in() => Err("must not be owner, admin, member or viewer, which are built in"),
            name => Ok(name),
        }
    }

    /// True for the name of a built-in role.
    pub fn is_built_in(&self) -> bool {
        BuiltInRole::named(&self.0).is_some()
    }

    /// True for the owner role.
    pub fn is_owner(&self) -> bool {
        self.0 == Self::OWNER
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(RoleName);

/// True for 1 to 63 of `a-z`, `0-9`, `_` and `-`, starting with a letter.
pub fn is_word(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_role_is_refused() {
        for text in ["", "Owner", "1a", "a b", "a\0", &"a".repeat(64)] {
            assert!(RoleName::parse(text).is_err(), "{text:?}");
        }
    }
}
