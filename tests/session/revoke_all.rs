//! `SessionService.RevokeAllSessions`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn revoke_all(user: &pb::User, except: &str) -> pb::RevokeAllSessionsRequest {
    pb::RevokeAllSessionsRequest {
        user_id: user.id.clone(),
        except_session_id: except.to_owned(),
        ..Default::default()
    }
}

#[both]
async fn all_sessions_end_or_all_but_one(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (first, one) = t.session(&ada).await;
    let (_, one) = t.rotate(&one).await.unwrap();
    let (_, two) = t.session(&ada).await;
    let (_, three) = t.session(&ada).await;
    let (_, bobs) = t.session(&bob).await;
    let mut adas = t.with_key(&t.user_key(&ada).await).sessions();
    let ended = adas.revoke_all_sessions(revoke_all(&ada, &first.id)).await.answered();
    assert_eq!(ended.ended_sessions, 2);
    for token in [&two, &three] {
        refused(t.rotate(token).await, ErrorReason::RefreshTokenRejected);
    }
    let (_, one) = t.rotate(&one).await.unwrap();
    assert_eq!(adas.revoke_all_sessions(revoke_all(&ada, "")).await.answered().ended_sessions, 1);
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    assert_eq!(adas.revoke_all_sessions(revoke_all(&ada, "")).await.answered().ended_sessions, 0);
    refused(adas.revoke_all_sessions(revoke_all(&bob, "")).await, ErrorReason::UserNotFound);
    t.rotate(&bobs).await.unwrap();
}
