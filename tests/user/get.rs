//! `UserService.GetUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn get(id: &str) -> pb::GetUserRequest {
    pb::GetUserRequest { user_id: id.to_owned() }
}

#[both]
async fn a_user_sees_itself_and_the_members_of_its_organizations(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    assert_eq!(users.get_user(get(&ada.id)).await.answered().user.unwrap(), ada);
    assert_eq!(users.get_user(get(&bob.id)).await.answered().user.unwrap(), bob);
    refused(users.get_user(get(&eve.id)).await, ErrorReason::UserNotFound);
}

#[both]
async fn an_organization_sees_its_members_only(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let mut users = t.with_key(&t.organization_key(&acme).await).users();
    assert_eq!(users.get_user(get(&ada.id)).await.answered().user.unwrap(), ada);
    refused(users.get_user(get(&eve.id)).await, ErrorReason::UserNotFound);
}

#[both]
async fn a_foreign_and_a_missing_user_answer_alike(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    let foreign = refused(users.get_user(get(&eve.id)).await, ErrorReason::UserNotFound);
    let missing = refused(users.get_user(get(MISSING_ID)).await, ErrorReason::UserNotFound);
    assert_eq!((foreign.message(), foreign.details()), (missing.message(), missing.details()));
}

#[both]
async fn malformed_uuids_are_refused(t: Arc<Test>) {
    for id in ["", "x", "01900000000070008000000000000000", "\0"] {
        refused(t.admin().users().get_user(get(id)).await, ErrorReason::InvalidArgument);
    }
}
