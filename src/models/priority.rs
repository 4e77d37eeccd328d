//! Priorities of calls.

/// Priority of a call when the server cannot answer all of them, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// What others wait for before they answer anybody: whether a credential is good, what its owner may do.
    Verify,
    /// What keeps users signed in.
    Refresh,
    /// What only reads.
    Read,
    /// What changes something.
    Write,
    /// What hashes passwords.
    SignIn,
    /// What brings over many at once.
    Import,
}

impl Priority {
    /// All of them, the first ones first.
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
