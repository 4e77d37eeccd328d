//! The keys that sign access tokens.

use std::time::Duration;

use super::{Sealed, SigningKeyId, Timestamp, stored::words};

/// The maximum configurable lifetime of an access token.
pub const MAX_TOKEN_LIFE: Duration = Duration::from_hours(1);
/// The maximum difference between the clocks of two machines.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);

words! {
    /// The algorithm of a key.
    SigningAlgorithm {
        /// Ed25519 (RFC 8037).
        EdDsa = "EdDSA",
        /// ECDSA on P-256 with SHA-256 (RFC 7518).
        Es256 = "ES256",
    }
}

/// A key that signs now or later, or has signed tokens that may still be valid.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The id, which tokens carry in their header.
    pub id: SigningKeyId,
    /// The algorithm.
    pub algorithm: SigningAlgorithm,
    /// The public key: 32 bytes, or an uncompressed point.
    pub public_key: PublicKey,
    /// The private key: PKCS#8, sealed.
    pub private_key: Sealed,
    /// When it starts to sign.
    pub signs_from: Timestamp,
    /// When it stops verifying tokens; `None` until another key is created after it.
    pub verifies_until: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub Vec<u8>);

impl PublicKey {
    /// Its bytes.
    pub fn as_bytes(&self) -> &Vec<u8> {
        &self.0
    }
}

impl SigningKey {
    /// True while tokens verify with it.
    pub fn verifies(&self, now: Timestamp) -> bool {
        self.verifies_until.is_none_or(|until| now < until)
    }

    /// When a key stops verifying if its successor signs from `signs_from`: by then the last token that it signed has expired, whatever the
    /// settings are.
    pub fn outlived_by(signs_from: Timestamp) -> Timestamp {
        signs_from.after(MAX_TOKEN_LIFE).after(CLOCK_SKEW)
    }
}
