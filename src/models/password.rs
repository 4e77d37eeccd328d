//! Passwords as they are stored.

use super::{PasswordHash, Timestamp, UserId};

/// The password of a user.
#[derive(Clone, Debug)]
pub struct Password {
    /// Whose it is.
    pub user_id: UserId,
    /// Its hash.
    pub hash: PasswordHash,
    /// The hash was made elsewhere: of the password as it was typed, not of its normal form.
    pub is_imported: bool,
    /// When the user got it.
    pub changed_at: Timestamp,
}
