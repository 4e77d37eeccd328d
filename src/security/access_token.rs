//! Access tokens: JWTs as defined by RFC 9068, signed and accepted only with this service's keys.
//!
//! A token is accepted only if its type, the single algorithm of the key that its `kid` names, the issuer, the audience and the times are
//! as this module issues them. A key, or the address of one, inside a token is ignored (RFC 8725 section 3).

use std::{fmt, sync::Once};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error as JwtError, ErrorKind},
    signature::{self, Signer, Verifier},
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::random;
use crate::models::{PublicKey, SigningAlgorithm, SigningKeyId, Timestamp, signing_key::CLOCK_SKEW};

/// The type of an access token (RFC 9068 section 2.1).
const TYPE: &str = "at+jwt";
/// Maximum length of a token. It has to fit into the headers of a call.
pub const MAX_BYTES: usize = 16 * 1024;

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The user.
    pub sub: Uuid,
    /// The audience.
    pub aud: String,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// The id of the token.
    pub jti: Uuid,
    /// The session.
    pub sid: Uuid,
    /// The API key that the session began with.
    pub client_id: String,
    /// The organization that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_id: Option<Uuid>,
    /// The user's role in that organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_role: Option<String>,
    /// The user's permissions in that organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_permissions: Option<Vec<String>>,
}

/// The issuer and the audience of tokens.
#[derive(Clone, Debug)]
pub struct Parties {
    /// The `iss` of every token.
    pub issuer: String,
    /// The `aud` of every token.
    pub audience: String,
}

/// A key pair as it is stored.
pub struct KeyPair {
    /// PKCS#8.
    pub private: Zeroizing<Vec<u8>>,
    /// The public key.
    pub public: PublicKey,
}

/// Generates a key pair. `None` if the library fails, which is not expected.
pub fn generate(algorithm: SigningAlgorithm) -> Option<KeyPair> {
    let random = random::generator();
    let (private, public) = match algorithm {
        SigningAlgorithm::EdDsa => {
            let private = Ed25519KeyPair::generate_pkcs8(&random).ok()?;
            let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).ok()?;
            (private.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        }
        SigningAlgorithm::Es256 => {
            let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref(), &random).ok()?;
            (private.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        }
    };
    Some(KeyPair { private: Zeroizing::new(private), public: PublicKey(public) })
}

/// A signing key.
#[derive(Clone)]
pub struct Signing {
    header: Header,
    key: EncodingKey,
}

impl Signing {
    /// Wraps a private key in PKCS#8.
    pub fn new(id: SigningKeyId, algorithm: SigningAlgorithm, private: &[u8]) -> Self {
        let mut header = Header::new(wire(algorithm));
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(id.to_string());
        let key = match algorithm {
            SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(private),
            SigningAlgorithm::Es256 => EncodingKey::from_ec_der(private),
        };
        Self { header, key }
    }

    /// Signs claims. `None` if the key is invalid.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        install();
        jsonwebtoken::encode(&self.header, claims, &self.key).ok()
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signing({:?})", self.header.kid)
    }
}

/// A verification key.
#[derive(Clone)]
pub struct Verifying {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifying {
    /// Wraps a public key.
    pub fn new(algorithm: SigningAlgorithm, public: &PublicKey) -> Self {
        let key = match algorithm {
            SigningAlgorithm::EdDsa => DecodingKey::from_ed_der(public.as_bytes()),
            SigningAlgorithm::Es256 => DecodingKey::from_ec_der(public.as_bytes()),
        };
        Self { algorithm: wire(algorithm), key }
    }

    /// The claims of a token, if it was signed with this key and is valid at `now`.
    pub fn verify(&self, token: &str, parties: &Parties, now: Timestamp) -> Option<Claims> {
        install();
        let mut validation = Validation::new(self.algorithm);
        // Checked below: the times by the clock of this process, and the audience as a plain text.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &validation).ok()?.claims;
        let (now, skew) = (now.as_micros() / 1_000_000, i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0));
        let is_in_time = now < claims.exp && claims.iat <= now + skew;
        let is_ours = claims.iss == parties.issuer && claims.aud == parties.audience;
        (is_in_time && is_ours).then_some(claims)
    }
}

/// The key id in the header of a token. `None` if the header is not one of ours.
pub fn key_of(token: &str) -> Option<SigningKeyId> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let is_ours = header.typ.as_deref() == Some(TYPE) && header.crit.is_none();
    let text = header.kid.filter(|_| is_ours)?;
    let id = Uuid::try_parse(&text).ok()?;
    // Only the canonical text of an id is accepted.
    (id.to_string() == text).then_some(SigningKeyId(id))
}

/// A key as a JWK (RFC 7517).
pub fn jwk(id: SigningKeyId, algorithm: SigningAlgorithm, public: &PublicKey) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let public = public.as_bytes();
    match algorithm {
        SigningAlgorithm::EdDsa => json!({
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id.to_string(),
            "x": URL_SAFE_NO_PAD.encode(public),
        }),
        SigningAlgorithm::Es256 => {
            // An uncompressed point: one byte for its form, then the two coordinates.
            let (x, y) = public.get(1..).unwrap_or_default().split_at(public.len().saturating_sub(1) / 2);
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id.to_string(),
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            })
        }
    }
}

fn wire(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        SigningAlgorithm::Es256 => Algorithm::ES256,
    }
}

/// Makes the library sign and verify with `ring`, which is a dependency anyway, and only with the two algorithms.
fn install() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match (algorithm, key.family()) {
            (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
                let pair = Ed25519KeyPair::from_pkcs8(key.as_bytes());
                Ok(Box::new(Ed(pair.map_err(|_| JwtError::from(ErrorKind::InvalidEddsaKey))?)))
            }
            (Algorithm::ES256, AlgorithmFamily::Ec) => {
                let (with, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, random::generator());
                let pair = EcdsaKeyPair::from_pkcs8(with, key.as_bytes(), &random);
                Ok(Box::new(Ec(pair.map_err(|_| JwtError::from(ErrorKind::InvalidEcdsaKey))?)))
            }
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| {
            let with: &'static dyn VerificationAlgorithm = match (algorithm, key.family()) {
                (Algorithm::EdDSA, AlgorithmFamily::Ed) => &ED25519,
                (Algorithm::ES256, AlgorithmFamily::Ec) => &ECDSA_P256_SHA256_FIXED,
                _ => return Err(ErrorKind::InvalidAlgorithm.into()),
            };
            let key = UnparsedPublicKey::new(with, key.try_get_as_bytes()?.to_vec());
            Ok(Box::new(Public { key, algorithm: *algorithm }))
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // Fails only if another provider was installed before, and nothing else installs one.
        let _ = PROVIDER.install_default();
    });
}

struct Ed(Ed25519KeyPair);
struct Ec(EcdsaKeyPair);
struct Public {
    key: UnparsedPublicKey<Vec<u8>>,
    algorithm: Algorithm,
}

impl Signer<Vec<u8>> for Ed {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

impl Signer<Vec<u8>> for Ec {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signed = self.0.sign(&random::generator(), message).map_err(|_| signature::Error::new())?;
        Ok(signed.as_ref().to_vec())
    }
}

impl JwtSigner for Ec {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parties() -> Parties {
        Parties { issuer: "https://id.example.com".to_owned(), audience: "api".to_owned() }
    }

    fn claims() -> Claims {
        Claims {
            iss: parties().issuer,
            sub: Uuid::from_u128(1),
            aud: parties().audience,
            exp: 1_700_000_600,
            iat: 1_700_000_000,
            jti: Uuid::from_u128(2),
            sid: Uuid::from_u128(3),
            client_id: Uuid::from_u128(4).to_string(),
            org_id: None,
            org_role: None,
            org_permissions: None,
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_token_verifies_with_its_key_in_its_time_and_for_its_parties() {
        for algorithm in SigningAlgorithm::ALL {
            let (pair, other) = (generate(*algorithm).unwrap(), generate(*algorithm).unwrap());
            let id = SigningKeyId(Uuid::from_u128(7));
            let token = Signing::new(id, *algorithm, &pair.private).sign(&claims()).unwrap();
            let verifying = Verifying::new(*algorithm, &pair.public);
            assert_eq!(key_of(&token), Some(id));
            assert_eq!(verifying.verify(&token, &parties(), at(1_700_000_000)), Some(claims()));
            assert_eq!(verifying.verify(&token, &parties(), at(1_700_000_599)), Some(claims()));
            assert_eq!(verifying.verify(&token, &parties(), at(1_700_000_600)), None);
            assert_eq!(verifying.verify(&token, &parties(), at(1_699_999_939)), None);
            let elsewhere = Parties { audience: "other".to_owned(), ..parties() };
            assert_eq!(verifying.verify(&token, &elsewhere, at(1_700_000_000)), None);
            let by_other = Parties { issuer: "other".to_owned(), ..parties() };
            assert_eq!(verifying.verify(&token, &by_other, at(1_700_000_000)), None);
            assert_eq!(Verifying::new(*algorithm, &other.public).verify(&token, &parties(), at(1_700_000_000)), None);
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(eyJ)?\\PC{0,60}(\\.\\PC{0,60}){0,3}") {
            let key = generate(SigningAlgorithm::EdDsa).unwrap();
            prop_assert!(Verifying::new(SigningAlgorithm::EdDsa, &key.public).verify(&text, &parties(), at(0)).is_none());
            let _ = key_of(&text);
        }
    }
}
