//! Passwords: normalization, the rules for new ones, hashing and verification. All of it is pure; `app::hashing` decides where it runs and
//! how many hashes run at once.

mod format;
mod hash;
mod policy;

use unicode_normalization::{UnicodeNormalization as _, is_nfkc_quick};
use zeroize::Zeroizing;

pub use self::{
    hash::{Cost, Hash, Limits, Memory, Peppers, make},
    policy::{Policy, Unacceptable},
};

/// Maximum size of a password in bytes, as sent.
pub const MAX_BYTES: usize = 1024;

/// The form of a password that is hashed and compared: NFKC, so that it does not matter how a keyboard sends `é`. It is not changed
/// otherwise (NIST SP 800-63B-4 section 3.1.1.2).
pub fn normal(password: &str) -> Zeroizing<String> {
    match is_nfkc_quick(password.chars()) {
        unicode_normalization::IsNormalized::Yes => Zeroizing::new(password.to_owned()),
        _ => Zeroizing::new(password.nfkc().collect()),
    }
}
