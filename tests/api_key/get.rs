//! `ApiKeyService.GetApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn get(id: &str) -> pb::GetApiKeyRequest {
    pb::GetApiKeyRequest { api_key_id: id.to_owned() }
}

#[both]
async fn a_key_is_visible_to_its_owner_and_to_admins(t: Arc<Test>) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    t.member(&carl, &acme, "member").await;
    let (of_acme, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    let (of_bob, _) = t.key(Owner::UserId(bob.id.clone()), &["users:read"]).await;
    for key in [t.user_key(&ada).await, t.user_key(&bob).await, t.organization_key(&acme).await, t.admin_key.clone()] {
        let got = t.with_key(&key).api_keys().get_api_key(get(&of_acme.id)).await.answered();
        assert_eq!(got.api_key.unwrap(), of_acme);
    }
    for key in [t.user_key(&carl).await, t.user_key(&eve).await] {
        let mut keys = t.with_key(&key).api_keys();
        refused(keys.get_api_key(get(&of_acme.id)).await, ErrorReason::ApiKeyNotFound);
        refused(keys.get_api_key(get(MISSING_ID)).await, ErrorReason::ApiKeyNotFound);
    }
    // A user's key is visible to the user only.
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        refused(t.with_key(&key).api_keys().get_api_key(get(&of_bob.id)).await, ErrorReason::ApiKeyNotFound);
    }
}
