//! `UserService.RevokePlatformAdmin`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn revoke(user: &pb::User) -> pb::RevokePlatformAdminRequest {
    pb::RevokePlatformAdminRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn the_power_ends_with_the_next_call(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let grant = pb::GrantPlatformAdminRequest { user_id: ada.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    assert_eq!(users.list_users(pb::ListUsersRequest::default()).await.answered().users.len(), 2);
    let revoked = t.admin().users().revoke_platform_admin(revoke(&ada)).await.answered().user.unwrap();
    assert!(!revoked.is_platform_admin);
    assert_eq!(users.list_users(pb::ListUsersRequest::default()).await.answered().users.len(), 1);
}

#[both]
async fn the_last_one_stays(t: Arc<Test>) {
    let admin = t.first_admin().await;
    refused(t.admin().users().revoke_platform_admin(revoke(&admin)).await, ErrorReason::LastPlatformAdmin);
}

#[both]
async fn two_that_revoke_each_other_at_once_leave_one(t: Arc<Test>) {
    let admin = t.first_admin().await;
    for round in 0..20 {
        let ada = t.user("ada").await;
        let grant =
            pb::GrantPlatformAdminRequest { user_id: ada.id.clone(), etag: String::new(), ..Default::default() };
        t.admin().users().grant_platform_admin(grant.clone()).await.unwrap();
        let adas = t.with_key(&t.user_key(&ada).await);
        let (mut by_ada, mut by_admin) = (adas.users(), t.admin().users());
        let (one, two) =
            tokio::join!(by_ada.revoke_platform_admin(revoke(&admin)), by_admin.revoke_platform_admin(revoke(&ada)),);
        // The loser is refused as the last platform admin, or because it no longer is one.
        assert_ne!(one.is_ok(), two.is_ok(), "round {round}");
        if one.is_ok() {
            let back =
                pb::GrantPlatformAdminRequest { user_id: admin.id.clone(), etag: String::new(), ..Default::default() };
            adas.users().grant_platform_admin(back).await.unwrap();
            t.admin().users().revoke_platform_admin(revoke(&ada)).await.unwrap();
        }
    }
}
