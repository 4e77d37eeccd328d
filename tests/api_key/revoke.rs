//! `ApiKeyService.RevokeApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, refused};

fn revoke(key: &pb::ApiKey) -> pb::RevokeApiKeyRequest {
    pb::RevokeApiKeyRequest {
        api_key_id: key.id.clone(),
        reason: "leaked".to_owned(),
        etag: String::new(),
        ..Default::default()
    }
}

#[both]
async fn a_revoked_key_stops_with_the_next_call_and_for_ever(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    let mut users = t.with_key(&text).users();
    users.get_user(get.clone()).await.unwrap();
    let revoked = t.admin().api_keys().revoke_api_key(revoke(&key)).await.answered();
    assert_eq!(revoked.api_key.as_ref().unwrap().revoked_reason, "leaked");
    refused(users.get_user(get).await, ErrorReason::Unauthenticated);
    let again = pb::RevokeApiKeyRequest { reason: "other".to_owned(), ..revoke(&key) };
    assert_eq!(t.admin().api_keys().revoke_api_key(again).await.answered(), revoked);
}

#[both]
async fn a_key_can_revoke_itself_and_no_foreign_one(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (key, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["api_keys:write"]).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    refused(eves.revoke_api_key(revoke(&key)).await, ErrorReason::ApiKeyNotFound);
    let bad = pb::RevokeApiKeyRequest { reason: "\0".to_owned(), ..revoke(&key) };
    refused(t.admin().api_keys().revoke_api_key(bad).await, ErrorReason::InvalidArgument);
    let stale = pb::RevokeApiKeyRequest { etag: "r0".to_owned(), ..revoke(&key) };
    refused(t.admin().api_keys().revoke_api_key(stale).await, ErrorReason::EtagMismatch);
    let mut own = t.with_key(&text).api_keys();
    own.revoke_api_key(revoke(&key)).await.unwrap();
    refused(own.revoke_api_key(revoke(&key)).await, ErrorReason::Unauthenticated);
}
