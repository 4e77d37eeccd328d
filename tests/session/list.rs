//! `SessionService.ListSessions`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, DAY, Test, both, refused};

fn list(user: &pb::User) -> pb::ListSessionsRequest {
    pb::ListSessionsRequest { user_id: user.id.clone(), ..Default::default() }
}

#[both]
async fn each_live_session_is_listed_as_it_was_last_refreshed(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (_, one) = t.session(&ada).await;
    let (two, _) = t.session(&ada).await;
    let (three, _) = t.session(&ada).await;
    t.session(&bob).await;
    let (current, _) = t.rotate(&one).await.unwrap();
    let revoke = pb::RevokeSessionRequest { session_id: three.id, ..Default::default() };
    t.admin().sessions().revoke_session(revoke).await.unwrap();
    let mut adas = t.with_key(&t.user_key(&ada).await).sessions();
    let page = adas.list_sessions(list(&ada)).await.answered();
    assert_eq!(page.sessions, [current, two]);
    refused(adas.list_sessions(list(&bob)).await, ErrorReason::UserNotFound);
    t.advance(31 * DAY);
    assert!(adas.list_sessions(list(&ada)).await.answered().sessions.is_empty());
}

#[both]
async fn the_newest_session_comes_first_when_asked(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (one, _) = t.session(&ada).await;
    let (two, _) = t.session(&ada).await;
    let newest = pb::ListSessionsRequest { order: pb::Order::NewestFirst.into(), page_size: 1, ..list(&ada) };
    let first = t.admin().sessions().list_sessions(newest.clone()).await.answered();
    assert_eq!(first.sessions, std::slice::from_ref(&two));
    let rest = pb::ListSessionsRequest { page_token: first.next_page_token, ..newest.clone() };
    assert_eq!(t.admin().sessions().list_sessions(rest).await.answered().sessions, std::slice::from_ref(&one));
    let since = pb::ListSessionsRequest { created_from: two.created_at, ..list(&ada) };
    assert_eq!(t.admin().sessions().list_sessions(since).await.answered().sessions, std::slice::from_ref(&two));
    let before = pb::ListSessionsRequest { created_before: two.created_at, ..newest };
    assert_eq!(t.admin().sessions().list_sessions(before).await.answered().sessions, [one]);
    // The last sign-in of the user is the beginning of the newest session.
    assert_eq!(t.reload_user(&ada.id).await.last_sign_in_at, two.created_at);
    assert_eq!(t.reload_user(&ada.id).await.etag, ada.etag);
}
