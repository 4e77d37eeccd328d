//! Priorities of calls.

/// Priority of a call when the server cannot answer all of them, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Checks that other services wait for before they answer: whether a credential is valid, what its owner may do.
    Verify,
    /// Keeps users signed in.
    Refresh,
    /// Only reads.
    Read,
    /// Changes something.
    Write,
    /// Hashes passwords.
    SignIn,
    /// Imports many resources at once.
    Import,
}

impl Priority {
    /// All priorities, highest first.
    pub const ALL: [Self; 6] = [Self::Verify, Self::Refresh, Self::Read, Self::Write, Self::SignIn, Self::Import];

    /// Its name, as in `Access.priority`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Refresh => "refresh",
            Self::Read => "read",
            Self::Write => "write",
            Self::SignIn => "sign_in",
            Self::Import => "import",
        }
    }
}
