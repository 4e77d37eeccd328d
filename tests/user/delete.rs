//! `UserService.DeleteUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn delete(user: &pb::User) -> pb::DeleteUserRequest {
    pb::DeleteUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn nothing_finds_a_deleted_user_and_its_email_is_free(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let (_, token) = t.session(&ada).await;
    let account = t.oauth_account(&ada).await;
    let deleted = t.admin().users().delete_user(delete(&ada)).await.answered().user.unwrap();
    assert!(deleted.deleted_at.is_some() && deleted.state() == pb::UserState::Deleted);

    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.admin().users().get_user(get.clone()).await, ErrorReason::UserNotFound);
    refused(t.admin().users().delete_user(delete(&ada)).await, ErrorReason::UserNotFound);
    refused(t.with_key(&key).users().get_user(get).await, ErrorReason::Unauthenticated);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    let get = pb::GetOauthAccountRequest { oauth_account_id: account.id };
    refused(t.admin().oauth_accounts().get_oauth_account(get).await, ErrorReason::OauthAccountNotFound);

    let again = pb::CreateUserRequest { email: ada.email, name: "Again".to_owned(), ..Default::default() };
    t.admin().users().create_user(again).await.unwrap();
}

#[both]
async fn a_stale_etag_is_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::DeleteUserRequest { etag: "r0".to_owned(), ..delete(&ada) };
    refused(t.admin().users().delete_user(request).await, ErrorReason::EtagMismatch);
    assert_eq!(t.reload_user(&ada.id).await, ada);
}

#[both]
async fn the_last_owner_stays_also_when_it_is_suspended(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.organization(&ada).await;
    let suspend = pb::SuspendUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().suspend_user(suspend).await.unwrap();
    refused(t.admin().users().delete_user(delete(&ada)).await, ErrorReason::LastOwner);
    let purge = pb::PurgeUserRequest { user_id: ada.id.clone(), ..Default::default() };
    refused(t.admin().users().purge_user(purge.clone()).await, ErrorReason::LastOwner);
    let with_its_organization = pb::PurgeUserRequest { purge_sole_organizations: true, ..purge };
    t.admin().users().purge_user(with_its_organization).await.unwrap();
}

#[both]
async fn the_last_owner_stays(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    refused(t.admin().users().delete_user(delete(&ada)).await, ErrorReason::LastOwner);
    t.member(&bob, &acme, "owner").await;
    t.admin().users().delete_user(delete(&ada)).await.unwrap();
    assert!(t.membership(&ada.id, &acme.id).await.is_none());
}

#[both]
async fn the_last_platform_admin_stays(t: Arc<Test>) {
    let admin = t.first_admin().await;
    refused(t.admin().users().delete_user(delete(&admin)).await, ErrorReason::LastPlatformAdmin);
}
