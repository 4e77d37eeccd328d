//! `UserService.ReactivateUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn its_keys_work_again_and_its_sessions_have_ended(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let (_, token) = t.session(&ada).await;
    t.suspend(&ada).await;
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    t.reactivate(&ada).await;
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    let user = t.with_key(&key).users().get_user(get).await.answered().user.unwrap();
    assert_eq!(user.state(), pb::UserState::Active);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn reactivating_an_active_user_changes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.reactivate(&ada).await;
    assert_eq!(t.reload_user(&ada.id).await, ada);
}

#[both]
async fn a_missing_user_is_not_found(t: Arc<Test>) {
    let request =
        pb::ReactivateUserRequest { user_id: MISSING_ID.to_owned(), etag: String::new(), ..Default::default() };
    refused(t.admin().users().reactivate_user(request).await, ErrorReason::UserNotFound);
}
