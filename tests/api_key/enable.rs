//! `ApiKeyService.EnableApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, refused};

fn enable(key: &pb::ApiKey) -> pb::EnableApiKeyRequest {
    pb::EnableApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() }
}

async fn disabled(t: &Test, owner: Owner, scopes: &[&str]) -> (pb::ApiKey, String) {
    let (key, text) = t.key(owner, scopes).await;
    let disable = pb::DisableApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    (t.admin().api_keys().disable_api_key(disable).await.answered().api_key.unwrap(), text)
}

#[both]
async fn an_enabled_key_works_with_the_secret_that_it_had(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = disabled(&t, Owner::UserId(ada.id.clone()), &["*"]).await;
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&text).users().get_user(get.clone()).await, ErrorReason::Unauthenticated);
    let enabled = t.with_key(&t.user_key(&ada).await).api_keys().enable_api_key(enable(&key)).await.answered();
    assert_eq!(enabled.api_key.as_ref().unwrap().disabled_at, None);
    t.with_key(&text).users().get_user(get).await.unwrap();
    assert_eq!(t.admin().api_keys().enable_api_key(enable(&key)).await.answered(), enabled);
}

#[both]
async fn enabling_gives_so_the_callers_key_must_hold_it_all(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "keeper", &["api_keys:read", "api_keys:write"]).await;
    t.member(&bob, &acme, &role.name).await;
    let (key, _) = disabled(&t, Owner::OrganizationId(acme.id.clone()), &["invoices:*"]).await;
    let mut keys = t.with_key(&t.user_key(&bob).await).api_keys();
    refused(keys.enable_api_key(enable(&key)).await, ErrorReason::RoleInsufficient);
    let (_, narrow) = t.key(Owner::UserId(ada.id.clone()), &["api_keys:*"]).await;
    refused(t.with_key(&narrow).api_keys().enable_api_key(enable(&key)).await, ErrorReason::ScopeNotHeld);
    t.give_password(&ada).await;
    let session = t.signed_in(&ada).await;
    let mut keys = t.with_key(&session.access_token).api_keys();
    refused(keys.enable_api_key(enable(&key)).await, ErrorReason::ApiKeyRequired);
    let stale = pb::EnableApiKeyRequest { etag: "r1".to_owned(), ..enable(&key) };
    refused(t.admin().api_keys().enable_api_key(stale).await, ErrorReason::EtagMismatch);
    t.with_key(&t.user_key(&ada).await).api_keys().enable_api_key(enable(&key)).await.unwrap();
}

#[both]
async fn a_revoked_key_stays_revoked(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = disabled(&t, Owner::UserId(ada.id.clone()), &["*"]).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    refused(t.admin().api_keys().enable_api_key(enable(&key)).await, ErrorReason::ApiKeyRevoked);
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&text).users().get_user(get).await, ErrorReason::Unauthenticated);
}
