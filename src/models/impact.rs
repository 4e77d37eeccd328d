//! The effect of a change on dependent resources.

use super::OrganizationId;

/// The number of affected resources of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Memberships that it ends, suspends or writes.
    pub memberships: i64,
    /// Valid API keys that stop working.
    pub api_keys: i64,
    /// Live sessions that end.
    pub sessions: i64,
    /// Invitations that can no longer be accepted.
    pub invitations: i64,
    /// Organizations left without an active owner.
    pub organizations_without_owner: Vec<OrganizationId>,
}

impl Impact {
    /// The impact of writing a number of memberships.
    pub fn of_memberships(memberships: i64) -> Self {
        Self { memberships, ..Self::default() }
    }
}
