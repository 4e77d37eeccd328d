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
