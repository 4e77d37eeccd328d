//! `UserService.GrantPlatformAdmin`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn grant(user: &pb::User) -> pb::GrantPlatformAdminRequest {
    pb::GrantPlatformAdminRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn a_platform_admin_reaches_everything_with_the_next_call(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    let get = pb::GetUserRequest { user_id: bob.id.clone() };
    refused(users.get_user(get.clone()).await, ErrorReason::UserNotFound);
    let granted = t.admin().users().grant_platform_admin(grant(&ada)).await.answered().user.unwrap();
    assert!(granted.is_platform_admin);
    users.get_user(get).await.unwrap();
}

#[both]
async fn nobody_makes_itself_a_platform_admin(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    refused(t.with_key(&key).users().grant_platform_admin(grant(&ada)).await, ErrorReason::PlatformAdminRequired);
    assert!(!t.reload_user(&ada.id).await.is_platform_admin);
}

#[both]
async fn a_suspended_user_becomes_no_platform_admin(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.suspend(&ada).await;
    refused(t.admin().users().grant_platform_admin(grant(&ada)).await, ErrorReason::UserSuspended);
}
