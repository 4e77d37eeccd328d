//! Passwords: normalization, the rules for new ones, hashing and verification. All of it is pure; `app::hashing` decides where it runs and
//! how many hashes run at once.

mod cost;
mod expression;
mod format;
mod hash;
mod pepper;
mod policy;
mod recipe;
mod scheme;

use unicode_normalization::{UnicodeNormalization as _, is_nfkc_quick};
use zeroize::Zeroizing;

pub use self::{
    cost::{Cost, Limits, Memory},
    format::Refusal,
    hash::{Hash, make},
    pepper::Peppers,
    policy::{Policy, Unacceptable},
    recipe::{Recipes, with_recipe},
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

/// The forms of a password that another system may have hashed: as typed, then in the normal forms NFC, NFKC and NFD where
/// they differ.
pub fn forms(password: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![Zeroizing::new(password.to_owned())];
    if !password.is_ascii() {
        for form in [password.nfc().collect(), password.nfkc().collect(), password.nfd().collect::<String>()] {
            if forms.iter().all(|known| **known != form) {
                forms.push(Zeroizing::new(form));
            }
        }
    }
    forms
}
