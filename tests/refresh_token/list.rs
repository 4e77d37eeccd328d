//! `RefreshTokenService.ListRefreshTokens`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, DAY, Test, both, refused};

fn list(user: &pb::User) -> pb::ListRefreshTokensRequest {
    pb::ListRefreshTokensRequest { user_id: user.id.clone(), ..Default::default() }
}

#[both]
async fn each_live_session_is_listed_as_it_was_last_refreshed(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (_, one) = t.session(&ada).await;
    let (two, _) = t.session(&ada).await;
    let (three, _) = t.session(&ada).await;
    t.session(&bob).await;
    let (current, _) = t.rotate(&one).await.unwrap();
    let key = Some(pb::revoke_refresh_token_request::Key::RefreshTokenId(three.id));
    t.admin()
        .refresh_tokens()
        .revoke_refresh_token(pb::RevokeRefreshTokenRequest { key, ..Default::default() })
        .await
        .unwrap();
    let mut adas = t.with_key(&t.user_key(&ada).await).refresh_tokens();
    let page = adas.list_refresh_tokens(list(&ada)).await.answered();
    assert_eq!(page.refresh_tokens, [current, two]);
    refused(adas.list_refresh_tokens(list(&bob)).await, ErrorReason::UserNotFound);
    t.advance(31 * DAY);
    assert!(adas.list_refresh_tokens(list(&ada)).await.answered().refresh_tokens.is_empty());
}
