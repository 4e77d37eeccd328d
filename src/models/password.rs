//! Passwords as they are stored.

use super::{PasswordHash, Timestamp, UserId};

/// The password of a user.
#[derive(Clone, Debug)]
pub struct Password {
    /// The user.
    pub user_id: UserId,
    /// Its hash.
    pub hash: PasswordHash,
    /// The hash was computed elsewhere: of the password as typed, not of its normal form.
    pub is_imported: bool,
    /// When it was set.
    pub changed_at: Timestamp,
}
