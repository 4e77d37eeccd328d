//! The keys that access tokens are signed with.

use std::time::Duration;

use super::{Sealed, SigningKeyId, Timestamp, stored::words};

/// The longest that an access token can be set to live.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_hours(1);
/// How far the clocks of two machines may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);

words! {
    /// How a key signs.
    SigningAlgorithm {
        /// Ed25519 (RFC 8037).
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256 (RFC 7518).
        Es256 = "ES256",
    }
}

/// A key that signs, or will, or signed what may still be valid.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Names it, in the database and in the header of tokens.
    pub id: SigningKeyId,
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// What verifies: 32 bytes, or an uncompressed point.
    pub public_key: PublicKey,
    /// What signs: PKCS#8, sealed.
    pub private_key: Sealed,
    /// From when it signs.
    pub signs_from: Timestamp,
    /// Until when tokens verify with it; `None` while no other key was made after it.
    pub verifies_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub Vec<u8>);

impl PublicKey {
    /// Its bytes.
    pub fn as_bytes(&self) -> &Vec<u8> {
        &self.0
    }
}

impl SigningKey {
    /// True as long as tokens verify with it.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.verifies_until.is_none_or(|until| now < until)
    }

    /// Until when a key verifies after which another one signs from some time on: the last token that it signs has expired then,
    /// whatever the settings are.
    pub fn outlived_by(signs_from: Timestamp) -> Timestamp {
        signs_from.after(MAX_TOKEN_LIFE).after(CLOCK_SKEW)
    }
}
