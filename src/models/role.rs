//! Roles. What the built-in ones give, `permission` says.

use super::{
    Held, Name, OrganizationId, Permissions, Revision, RoleId, Timestamp, locked::resource, permission,
    stored::stored_as_is,
};

/// A role of an organization's own.
#[derive(Clone, Debug)]
pub struct Role {
    /// Names it.
    pub id: RoleId,
    /// Counts its writes.
    pub revision: Revision,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What memberships call it.
    pub name: RoleName,
    /// What it is for.
    pub description: Option<Name>,
    /// What it gives.
    pub permissions: Permissions,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Role);

/// What a new role is made of.
#[derive(Clone, Debug)]
pub struct NewRole {
    /// Whose it will be.
    pub organization_id: OrganizationId,
    /// What memberships will call it.
    pub name: RoleName,
    /// What it is for.
    pub description: Option<Name>,
    /// What it gives.
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
            description: self.description.clone(),
            permissions: self.permissions.clone(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// What an update writes; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct RoleChanges {
    /// The description.
    pub description: Option<Option<Name>>,
    /// The permissions.
    pub permissions: Option<Permissions>,
}

impl Role {
    /// What it gives beyond what every member holds.
    pub fn gives(&self) -> Held {
        Held::only(&self.permissions)
    }

    /// Writes `changes`.
    pub fn apply(&mut self, changes: RoleChanges) {
        if let Some(description) = changes.description {
            self.description = description;
        }
        if let Some(permissions) = changes.permissions {
            self.permissions = permissions;
        }
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

/// The name of a role: 1 to 63 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleName(String);

impl RoleName {
    /// The word for the owner's role.
    pub const OWNER: &'static str = "owner";

    /// The role of an owner.
    pub fn owner() -> Self {
        Self(Self::OWNER.to_owned())
    }

    /// The role of an admin.
    pub fn admin() -> Self {
        Self(permission::ADMIN.to_owned())
    }

    /// Checks a role.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if is_word(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must have 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter")
        }
    }

    /// Checks the name of a role of an organization's own.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse_own(text: &str) -> Result<Self, &'static str> {
        match Self::parse(text)? {
            name if name.is_built_in() => Err("must not be owner, admin, member or viewer, which are built in"),
            name => Ok(name),
        }
    }

    /// True for the name of a built-in role.
    pub fn is_built_in(&self) -> bool {
        permission::BUILT_IN_ROLES.contains(&self.as_str())
    }

    /// True for the owner's role.
    pub fn is_owner(&self) -> bool {
        self.0 == Self::OWNER
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(RoleName);

/// True for 1 to 63 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
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
