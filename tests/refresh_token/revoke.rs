//! `RefreshTokenService.RevokeRefreshToken`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, revoke_refresh_token_request::Key};

use crate::support::{MISSING_ID, Test, both, refused};

fn revoke(key: Key) -> pb::RevokeRefreshTokenRequest {
    pb::RevokeRefreshTokenRequest { key: Some(key), ..Default::default() }
}

#[both]
async fn a_session_ends_by_id_or_by_secret_of_any_of_its_tokens(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).refresh_tokens();
    for by_secret in [true, false] {
        let (first, one) = t.session(&ada).await;
        let (_, two) = t.rotate(&one).await.unwrap();
        let key = || if by_secret { Key::PlaintextToken(one.clone()) } else { Key::RefreshTokenId(first.id.clone()) };
        adas.revoke_refresh_token(revoke(key())).await.unwrap();
        refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
        // Repeated: nothing changes.
        adas.revoke_refresh_token(revoke(key())).await.unwrap();
    }
}

#[both]
async fn a_foreign_and_a_missing_session_are_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (token, secret) = t.session(&ada).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).refresh_tokens();
    let keys = [
        Key::RefreshTokenId(token.id),
        Key::PlaintextToken(secret.clone()),
        Key::RefreshTokenId(MISSING_ID.to_owned()),
        Key::PlaintextToken("garbage".to_owned()),
    ];
    for key in keys {
        refused(eves.revoke_refresh_token(revoke(key)).await, ErrorReason::RefreshTokenNotFound);
    }
    t.rotate(&secret).await.unwrap();
    for request in
        [pb::RevokeRefreshTokenRequest { key: None, ..Default::default() }, revoke(Key::RefreshTokenId("x".to_owned()))]
    {
        refused(eves.revoke_refresh_token(request).await, ErrorReason::InvalidArgument);
    }
}
