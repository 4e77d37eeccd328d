//! `UserService.SuspendUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn suspend(user: &pb::User) -> pb::SuspendUserRequest {
    pb::SuspendUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn a_suspended_user_can_do_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let (_, token) = t.session(&ada).await;
    let suspended = t.admin().users().suspend_user(suspend(&ada)).await.answered().user.unwrap();
    assert_eq!(suspended.state(), pb::UserState::Suspended);
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&key).users().get_user(get).await, ErrorReason::Unauthenticated);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    let session = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
    refused(t.admin().refresh_tokens().create_refresh_token(session).await, ErrorReason::UserSuspended);
}

#[both]
async fn suspending_twice_changes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let once = t.admin().users().suspend_user(suspend(&ada)).await.answered();
    let twice = t.admin().users().suspend_user(suspend(&ada)).await.answered();
    assert_eq!(once, twice);
}

#[both]
async fn the_only_owner_is_suspended_and_the_rehearsal_names_the_organization(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let rehearse = async |user: &pb::User| {
        let request = pb::SuspendUserRequest { validate_only: true, ..suspend(user) };
        t.admin().users().suspend_user(request).await.answered().impact.unwrap()
    };
    let impact = rehearse(&ada).await;
    assert_eq!((impact.organizations_without_owner, impact.blockers), (vec![acme.id.clone()], vec![]));
    t.member(&bob, &acme, "owner").await;
    assert!(rehearse(&ada).await.organizations_without_owner.is_empty());
    t.admin().users().suspend_user(suspend(&bob)).await.unwrap();
    // A suspended owner does not count.
    assert_eq!(rehearse(&ada).await.organizations_without_owner, std::slice::from_ref(&acme.id));
    t.admin().users().suspend_user(suspend(&ada)).await.unwrap();
    // An irreversible call still requires another owner.
    let delete = pb::DeleteUserRequest { user_id: bob.id.clone(), ..Default::default() };
    t.reactivate(&bob).await;
    refused(t.admin().users().delete_user(delete).await, ErrorReason::LastOwner);
}

#[both]
async fn the_last_platform_admin_stays(t: Arc<Test>) {
    let admin = t.first_admin().await;
    refused(t.admin().users().suspend_user(suspend(&admin)).await, ErrorReason::LastPlatformAdmin);
}
