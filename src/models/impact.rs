//! What a change would do to what hangs on its resource.

/// How much of each kind a change is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Memberships that it ends, suspends or writes.
    pub memberships: i64,
    /// API keys in force that stop.
    pub api_keys: i64,
    /// Live sessions that stop.
    pub sessions: i64,
    /// Invitations that cannot be accepted.
    pub invitations: i64,
}

impl Impact {
    /// That of writing so many memberships.
    pub fn of_memberships(memberships: i64) -> Self {
        Self { memberships, ..Self::default() }
    }
}
