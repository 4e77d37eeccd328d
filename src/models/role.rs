//! Roles: the built-in ones, which carry power here, and an application's own, which carry none.

use super::stored::stored_as_is;

/// The role of a member: 1 to 63 of `a-z`, `0-9`, `_` and `-`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role(String);

/// How high somebody stands in an organization. Nobody gives, changes or takes a rank above its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// An application's own role, which carries no power here.
    Other,
    /// Reads.
    Viewer,
    /// Works with what the application keeps.
    Member,
    /// Manages the organization, its memberships and its keys. An organization's API key stands here too.
    Admin,
    /// Does everything in the organization, also delete it.
    Owner,
    /// A platform admin, above every role of every organization.
    Platform,
}

impl Role {
    /// The word for the owner's role.
    pub const OWNER: &'static str = "owner";

    /// The role of an owner.
    pub fn owner() -> Self {
        Self(Self::OWNER.to_owned())
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

    /// How high the role stands.
    pub fn rank(&self) -> Rank {
        match self.0.as_str() {
            Self::OWNER => Rank::Owner,
            "admin" => Rank::Admin,
            "member" => Rank::Member,
            "viewer" => Rank::Viewer,
            _ => Rank::Other,
        }
    }

    /// True for the owner's role.
    pub fn is_owner(&self) -> bool {
        self.rank() == Rank::Owner
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(Role);

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
    fn built_in_roles_stand_in_their_order_and_others_below() {
        let rank = |role| Role::parse(role).map(|role| role.rank());
        assert!(rank("owner") > rank("admin") && rank("admin") > rank("member"));
        assert!(rank("member") > rank("viewer") && rank("viewer") > rank("billing"));
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for text in ["", "Owner", "1a", "a b", "a\0", &"a".repeat(64)] {
            assert!(Role::parse(text).is_err(), "{text:?}");
        }
    }
}
