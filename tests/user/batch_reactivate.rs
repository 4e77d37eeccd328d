//! `UserService.BatchReactivateUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use super::batch_suspend::states;
use crate::support::{
    Answered as _, Api, MISSING_ID, Test, both,
    follow::{actions, newest, since},
};

fn reactivate(id: &str) -> pb::ReactivateUserRequest {
    pb::ReactivateUserRequest { user_id: id.to_owned(), ..Default::default() }
}

async fn reactivate_all(api: &Api, requests: Vec<pb::ReactivateUserRequest>) -> Vec<pb::BatchUserResult> {
    let request = pb::BatchReactivateUsersRequest { requests, ..Default::default() };
    api.users().batch_reactivate_users(request).await.answered().results
}

#[both]
async fn each_user_is_reactivated_on_its_own(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let key = t.user_key(&ada).await;
    t.suspend(&ada).await;
    t.suspend(&bob).await;
    let stale = pb::ReactivateUserRequest { etag: bob.etag.clone(), ..reactivate(&bob.id) };
    let last = newest(&t.admin()).await;
    let items = vec![reactivate(&ada.id), stale, reactivate(&carl.id), reactivate(MISSING_ID), reactivate("x")];
    let results = reactivate_all(&t.admin(), items).await;
    let expected = [
        Ok(pb::UserState::Active),
        Err(ErrorReason::EtagMismatch),
        Ok(pb::UserState::Active),
        Err(ErrorReason::UserNotFound),
        Err(ErrorReason::InvalidArgument),
    ];
    assert_eq!(states(&results), expected);
    t.with_key(&key).users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    assert_eq!(t.reload_user(&bob.id).await.state(), pb::UserState::Suspended);
    let events = since(&t.admin(), last).await;
    assert_eq!(actions(&events), ["user.reactivated"]);
}

#[both]
async fn a_platform_admin_comes_back_only_by_a_key_with_the_scope_for_it_and_the_others_do(t: Arc<Test>) {
    let (admin, ada, bob) = (t.first_admin().await, t.user("ada").await, t.user("bob").await);
    let grant = pb::GrantPlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    t.suspend(&bob).await;
    t.suspend(&ada).await;
    let items = || vec![reactivate(&bob.id), reactivate(&ada.id)];
    let (_, narrow) = t.key(Owner::UserId(admin.id), &["users:write"]).await;
    let results = reactivate_all(&t.with_key(&narrow), items()).await;
    assert_eq!(states(&results), [Err(ErrorReason::ScopeMissing), Ok(pb::UserState::Active)]);
    assert_eq!(states(&reactivate_all(&t.admin(), items()).await), [Ok(pb::UserState::Active); 2]);
}
