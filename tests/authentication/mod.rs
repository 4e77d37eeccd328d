//! `AuthenticationService`, a file per method.

mod change_password;
mod confirm_email_change;
mod confirm_email_verification;
mod confirm_password_reset;
mod get_signing_keys;
mod import_password_hash;
pub mod introspect_token;
mod refresh;
mod remove_password;
mod set_password;
mod sign_in;
mod sign_out;
mod sign_up;
mod start_email_change;
mod start_email_verification;
mod start_password_reset;
mod verify_password;

use tenantry::pb;
use tonic::Status;

use crate::support::{Test, given::Issued as _};

/// Tries to sign in.
pub async fn sign_in(t: &Test, email: &str, password: &str) -> Result<pb::IssuedSession, Status> {
    let sign_in = pb::SignInRequest { email: email.to_owned(), password: password.to_owned(), ..Default::default() };
    t.admin().authentication().sign_in(sign_in).await.map(|answer| answer.into_inner().issued())
}

/// Tries to go on with a session.
pub async fn refresh(t: &Test, plaintext_token: &str) -> Result<pb::IssuedSession, Status> {
    let refresh = pb::RefreshRequest { plaintext_token: plaintext_token.to_owned(), ..Default::default() };
    t.admin().authentication().refresh(refresh).await.map(|answer| answer.into_inner().issued())
}

/// The claims of an access token. The signature is not checked.
pub fn claims(token: &str) -> serde_json::Value {
    part(token, 1)
}

/// A part of a token: its header or its claims.
pub fn part(token: &str, at: usize) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
