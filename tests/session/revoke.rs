//! `SessionService.RevokeSession`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{MISSING_ID, Test, both, refused};

fn revoke(id: &str) -> pb::RevokeSessionRequest {
    pb::RevokeSessionRequest { session_id: id.to_owned(), ..Default::default() }
}

#[both]
async fn a_session_ends_with_its_tokens_and_only_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).sessions();
    let (first, one) = t.session(&ada).await;
    let (_, two) = t.rotate(&one).await.unwrap();
    let (_, other) = t.session(&ada).await;
    adas.revoke_session(revoke(&first.id)).await.unwrap();
    refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
    // Again: nothing changes.
    adas.revoke_session(revoke(&first.id)).await.unwrap();
    let revoked = pb::ListEventsRequest { actions: vec!["session.revoked".to_owned()], ..Default::default() };
    let revoked = crate::support::follow::list(&t.admin(), revoked).await;
    assert_eq!((revoked.len(), &revoked[0].resource_id, &revoked[0].user_id), (1, &first.id, &ada.id));
    t.rotate(&other).await.unwrap();
}

#[both]
async fn a_foreign_and_a_missing_session_are_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (session, token) = t.session(&ada).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).sessions();
    for id in [&session.id, MISSING_ID] {
        refused(eves.revoke_session(revoke(id)).await, ErrorReason::SessionNotFound);
    }
    refused(eves.revoke_session(revoke("x")).await, ErrorReason::InvalidArgument);
    t.rotate(&token).await.unwrap();
}
