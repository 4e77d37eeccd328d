//! `SessionService.GetSession`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};
use tonic::Status;

use crate::support::{Api, DAY, MISSING_ID, Test, both, refused};

async fn get(api: &Api, id: &str) -> Result<pb::Session, Status> {
    let answer = api.sessions().get_session(pb::GetSessionRequest { session_id: id.to_owned() }).await?;
    Ok(answer.into_inner().session.unwrap())
}

#[both]
async fn a_session_is_shown_as_it_was_last_refreshed_to_its_user_and_to_platform_admins(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (first, token) = t.session(&ada).await;
    assert_eq!(get(&t.admin(), &first.id).await.unwrap(), first);
    let (current, _) = t.rotate(&token).await.unwrap();
    assert_ne!(current, first);
    for api in [t.admin(), t.with_key(&t.user_key(&ada).await)] {
        assert_eq!(get(&api, &first.id).await.unwrap(), current);
    }
}

#[both]
async fn a_session_that_has_ended_or_expired_is_not_found(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (ended, _) = t.session(&ada).await;
    let (expired, _) = t.session(&ada).await;
    let revoke = pb::RevokeSessionRequest { session_id: ended.id.clone(), ..Default::default() };
    t.admin().sessions().revoke_session(revoke).await.unwrap();
    refused(get(&t.admin(), &ended.id).await, ErrorReason::SessionNotFound);
    get(&t.admin(), &expired.id).await.unwrap();
    t.advance(31 * DAY);
    refused(get(&t.admin(), &expired.id).await, ErrorReason::SessionNotFound);
}

#[both]
async fn a_foreign_session_and_a_missing_one_are_answered_byte_for_byte_alike(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&eve, &acme, "admin").await;
    let (session, _) = t.session(&ada).await;
    // Not even an admin of the user's organization sees it, nor the organization itself.
    for key in [t.user_key(&eve).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        let mut answers = Vec::new();
        for id in [&session.id, MISSING_ID] {
            let status = refused(get(&api, id).await, ErrorReason::SessionNotFound);
            answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        }
        assert_eq!(answers[0], answers[1]);
    }
    refused(get(&t.admin(), "x").await, ErrorReason::InvalidArgument);
}
