//! `UserService.PurgeUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn purge(user: &pb::User) -> pb::PurgeUserRequest {
    pb::PurgeUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn a_purged_user_leaves_nothing(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("purged-canary").await);
    let acme = t.organization(&ada).await;
    let membership = t.member(&bob, &acme, "member").await;
    let (key, text) = t.key(pb::create_api_key_request::Owner::UserId(bob.id.clone()), &["*"]).await;
    t.oauth_account(&bob).await;
    let (_, token) = t.session(&bob).await;
    // A key that the user created for the organization outlives the user.
    t.member(&bob, &t.organization(&ada).await, "admin").await;
    t.admin().users().purge_user(purge(&bob)).await.unwrap();

    refused(t.with_key(&text).users().list_users(pb::ListUsersRequest::default()).await, ErrorReason::Unauthenticated);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    let get = pb::GetApiKeyRequest { api_key_id: key.id };
    refused(t.admin().api_keys().get_api_key(get).await, ErrorReason::ApiKeyNotFound);
    assert!(t.membership(&membership.user_id, &membership.organization_id).await.is_none());
    let undelete = pb::UndeleteUserRequest { user_id: bob.id.clone(), etag: String::new(), ..Default::default() };
    refused(t.admin().users().undelete_user(undelete).await, ErrorReason::UserNotFound);
    for table in ["cf_users WHERE name = 'purged-canary'", "cf_oauth_accounts", "cf_sessions"] {
        let count = t.database.texts(&format!("SELECT CAST(count(*) AS text) AS value FROM {table}")).await;
        assert_eq!(count, ["0"], "{table}");
    }
}

#[both]
async fn a_key_made_for_an_organization_outlives_its_maker(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let request = pb::CreateApiKeyRequest {
        owner: Some(pb::create_api_key_request::Owner::OrganizationId(acme.id.clone())),
        name: "ci".to_owned(),
        scopes: vec!["users:read".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    let bobs = t.with_key(&t.user_key(&bob).await);
    let created = bobs.api_keys().create_api_key(request).await.answered();
    assert_eq!(created.api_key.as_ref().unwrap().created_by, bob.id);
    t.admin().users().purge_user(purge(&bob)).await.unwrap();
    t.with_key(&created.plaintext_key).users().list_users(pb::ListUsersRequest::default()).await.unwrap();
    let get = pb::GetApiKeyRequest { api_key_id: created.api_key.unwrap().id };
    let key = t.admin().api_keys().get_api_key(get).await.answered().api_key.unwrap();
    assert_eq!(key.created_by, "");
}

#[both]
async fn a_deleted_user_can_be_purged(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.admin()
        .users()
        .delete_user(pb::DeleteUserRequest { user_id: ada.id.clone(), etag: String::new(), ..Default::default() })
        .await
        .unwrap();
    t.admin().users().purge_user(purge(&ada)).await.unwrap();
    refused(t.admin().users().purge_user(purge(&ada)).await, ErrorReason::UserNotFound);
}

#[both]
async fn the_last_owner_and_the_last_platform_admin_stay(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.organization(&ada).await;
    refused(t.admin().users().purge_user(purge(&ada)).await, ErrorReason::LastOwner);
    let admin = t.first_admin().await;
    refused(t.admin().users().purge_user(purge(&admin)).await, ErrorReason::LastPlatformAdmin);
}
