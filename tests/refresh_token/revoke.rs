//! `RefreshTokenService.RevokeRefreshToken`.

use std::sync::Arc;

use tenantry::{
    models::SessionId,
    pb::{self, ErrorReason},
    security::token::{SecretPrefixes, SessionSecret},
};

use crate::support::{MISSING_ID, Test, both, refused};

fn revoke(token: &str) -> pb::RevokeRefreshTokenRequest {
    pb::RevokeRefreshTokenRequest { plaintext_token: token.to_owned(), ..Default::default() }
}

#[both]
async fn a_session_ends_by_the_secret_of_any_of_its_tokens(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).refresh_tokens();
    for by_spent in [true, false] {
        let (_, one) = t.session(&ada).await;
        let (_, two) = t.rotate(&one).await.unwrap();
        let token = if by_spent { &one } else { &two };
        adas.revoke_refresh_token(revoke(token)).await.unwrap();
        refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
        // Again: nothing changes.
        adas.revoke_refresh_token(revoke(token)).await.unwrap();
    }
}

#[both]
async fn foreign_and_unknown_tokens_are_rejected_byte_for_byte_alike(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (_, secret) = t.session(&ada).await;
    let missing =
        SecretPrefixes::default().refresh_token(&SessionSecret::random(), SessionId(MISSING_ID.parse().unwrap()), 1);
    let mut eves = t.with_key(&t.user_key(&eve).await).refresh_tokens();
    let mut answers = Vec::new();
    for token in [&secret, missing.expose(), "garbage"] {
        let status = refused(eves.revoke_refresh_token(revoke(token)).await, ErrorReason::RefreshTokenRejected);
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    t.rotate(&secret).await.unwrap();
    refused(eves.revoke_refresh_token(revoke("")).await, ErrorReason::InvalidArgument);
}
