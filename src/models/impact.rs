//! What a change would do to what hangs on its resource.

use super::OrganizationId;

/// How much of each kind a change is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Memberships that it ends, suspends or writes.
    pub memberships: i64,
    /// API keys in force that stop.
    pub api_keys: i64,
    /// Live sessions that stop.
    pub sessions: i64,
    /// Invitations that cannot be accepted.
    pub invitations: i64,
    /// Organizations that have no active owner after it.
    pub organizations_without_owner: Vec<OrganizationId>,
}

impl Impact {
    /// That of writing so many memberships.
    pub fn of_memberships(memberships: i64) -> Self {
        Self { memberships, ..Self::default() }
    }
}
