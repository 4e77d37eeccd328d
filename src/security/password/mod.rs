//! Passwords: the form that is compared, what a new one must be, and how one is hashed and verified. All of it is pure; who runs
//! it, and how many at once, is `hashing`'s.

mod format;
mod hash;
mod policy;

use unicode_normalization::{UnicodeNormalization as _, is_nfkc_quick};
use zeroize::Zeroizing;

pub use self::{
    hash::{Cost, Hash, Limits, Memory, Peppers, make},
    policy::{Policy, Unacceptable},
};

/// Most bytes of a password, as it is sent.
pub const MAX_BYTES: usize = 1024;

/// The form of a password that is hashed and compared: NFKC, so that it does not depend on the keyboard how `é` is sent. Nothing
/// else is done to it (NIST SP 800-63B-4 section 3.1.1.2).
pub fn normal(password: &str) -> Zeroizing<String> {
    match is_nfkc_quick(password.chars()) {
        unicode_normalization::IsNormalized::Yes => Zeroizing::new(password.to_owned()),
        _ => Zeroizing::new(password.nfkc().collect()),
    }
}
