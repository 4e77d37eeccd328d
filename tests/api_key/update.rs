//! `ApiKeyService.UpdateApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, DAY, MISSING_ID, Test, both, mask, object, refused, time_in};

fn update(key: &pb::ApiKey, paths: &[&str]) -> pb::UpdateApiKeyRequest {
    pb::UpdateApiKeyRequest {
        api_key_id: key.id.clone(),
        name: "renamed".to_owned(),
        update_mask: mask(paths),
        ..Default::default()
    }
}

#[both]
async fn name_metadata_expiry_and_scopes_change_by_mask(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["users:read"]).await;
    let request = pb::UpdateApiKeyRequest {
        scopes: vec!["memberships:read".to_owned()],
        metadata: object("a", "b"),
        expires_at: time_in(&t, 3600),
        etag: key.etag.clone(),
        ..update(&key, &["name", "scopes", "metadata", "expires_at"])
    };
    let new = t.admin().api_keys().update_api_key(request.clone()).await.answered().api_key.unwrap();
    assert_eq!((new.name.as_str(), new.scopes.as_slice()), ("renamed", &["memberships:read".to_owned()][..]));
    assert_eq!((new.metadata, new.expires_at), (object("a", "b"), request.expires_at));
    refused(t.admin().api_keys().update_api_key(request).await, ErrorReason::EtagMismatch);
    // The new scopes and the new expiry apply from the next call.
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&text).users().get_user(get).await, ErrorReason::ScopeMissing);
    t.advance(DAY);
    let list = pb::ListMembershipsRequest { user_id: ada.id.clone(), ..Default::default() };
    refused(t.with_key(&text).memberships().list_memberships(list.clone()).await, ErrorReason::Unauthenticated);
    t.admin().api_keys().update_api_key(update(&key, &["expires_at"])).await.unwrap();
    t.with_key(&text).memberships().list_memberships(list).await.unwrap();
}

#[both]
async fn a_key_gets_no_scope_that_the_caller_lacks(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (strong, _) = t.key(Owner::UserId(ada.id.clone()), &["users:*"]).await;
    let (_, text) = t.key(Owner::UserId(ada.id.clone()), &["api_keys:write"]).await;
    let mut keys = t.with_key(&text).api_keys();
    let scopes = |scopes: &[&str]| pb::UpdateApiKeyRequest {
        scopes: scopes.iter().map(ToString::to_string).collect(),
        ..update(&strong, &["scopes"])
    };
    refused(keys.update_api_key(scopes(&["*"])).await, ErrorReason::ScopeNotHeld);
    refused(keys.update_api_key(scopes(&["users:*", "memberships:read"])).await, ErrorReason::ScopeNotHeld);
    // A caller that widens a key must hold all its new permissions; narrowing is always allowed.
    refused(keys.update_api_key(scopes(&["users:read", "api_keys:write"])).await, ErrorReason::ScopeNotHeld);
    keys.update_api_key(scopes(&["users:read"])).await.unwrap();
    refused(keys.update_api_key(scopes(&["users:write"])).await, ErrorReason::ScopeNotHeld);
}

#[both]
async fn a_key_that_expires_gives_no_longer_life_than_its_own(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let new = |expires_at| pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(ada.id.clone())),
        name: "short".to_owned(),
        scopes: vec!["api_keys:*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        expires_at,
        ..Default::default()
    };
    let short = t.admin().api_keys().create_api_key(new(time_in(&t, 3600))).await.answered();
    let (key, mut keys) = (short.api_key.unwrap(), t.with_key(&short.plaintext_key).api_keys());
    for expires_at in [None, time_in(&t, 7200)] {
        refused(keys.create_api_key(new(expires_at)).await, ErrorReason::ExpiryNotHeld);
        let longer = pb::UpdateApiKeyRequest { expires_at, ..update(&key, &["expires_at"]) };
        refused(keys.update_api_key(longer).await, ErrorReason::ExpiryNotHeld);
    }
    keys.create_api_key(new(time_in(&t, 1800))).await.unwrap();
    keys.update_api_key(update(&key, &["name"])).await.unwrap();
}

#[both]
async fn a_revoked_a_foreign_and_a_missing_key_do_not_change(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (key, _) = t.key(Owner::UserId(ada.id.clone()), &["users:read"]).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    refused(eves.update_api_key(update(&key, &["name"])).await, ErrorReason::ApiKeyNotFound);
    let missing = pb::ApiKey { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(t.admin().api_keys().update_api_key(update(&missing, &["name"])).await, ErrorReason::ApiKeyNotFound);
    for paths in [&["prefix"][..], &["owner"], &["environment"], &["revoked_at"], &[]] {
        refused(t.admin().api_keys().update_api_key(update(&key, paths)).await, ErrorReason::InvalidArgument);
    }
    let past = pb::UpdateApiKeyRequest { expires_at: time_in(&t, -60), ..update(&key, &["expires_at"]) };
    refused(t.admin().api_keys().update_api_key(past).await, ErrorReason::InvalidArgument);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    refused(t.admin().api_keys().update_api_key(update(&key, &["name"])).await, ErrorReason::ApiKeyRevoked);
}

#[both]
async fn a_key_of_a_suspended_organization_changes_for_platform_admins_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let (key, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id, etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let mut adas = t.with_key(&t.user_key(&ada).await).api_keys();
    refused(adas.update_api_key(update(&key, &["name"])).await, ErrorReason::OrganizationSuspended);
    t.admin().api_keys().update_api_key(update(&key, &["name"])).await.unwrap();
}
