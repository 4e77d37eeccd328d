//! Metadata of API keys by single keys, and filters.

use std::sync::Arc;

use tenantry::pb::{self, create_api_key_request::Owner, list_api_keys_request};

use crate::support::{Answered as _, Api, Test, both, having, json, mask, object, words};

fn update(key: &pb::ApiKey, paths: &[&str], metadata: Option<prost_types::Struct>) -> pb::UpdateApiKeyRequest {
    pb::UpdateApiKeyRequest { api_key_id: key.id.clone(), metadata, update_mask: mask(paths), ..Default::default() }
}

/// The ids of the keys that a list returns, page by page.
async fn found(api: &Api, request: pb::ListApiKeysRequest) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListApiKeysRequest { page_token, page_size: 1, ..request.clone() };
        let page = api.api_keys().list_api_keys(request).await.answered();
        ids.extend(page.api_keys.into_iter().map(|key| key.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[both]
async fn single_keys_are_set_and_keys_are_found_by_them(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    let mut keys = Vec::new();
    for organization in [&acme, &acme, &acme, &other] {
        let (key, _) = t.key(Owner::OrganizationId(organization.id.clone()), &["users:read"]).await;
        let metadata = json(&[("service", words("billing")), ("keep", words("x"))]);
        t.admin().api_keys().update_api_key(update(&key, &["metadata"], metadata)).await.unwrap();
        keys.push(key);
    }
    let owner = list_api_keys_request::Owner::OrganizationId(acme.id.clone());
    let list = pb::ListApiKeysRequest {
        owner: Some(owner),
        metadata_filter: having("service", "billing"),
        ..Default::default()
    };
    let of_acme: Vec<String> = keys[..3].iter().map(|key| key.id.clone()).collect();
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await, t.admin_key.clone()] {
        assert_eq!(found(&t.with_key(&key), list.clone()).await, of_acme);
        let newest = pb::ListApiKeysRequest { order: pb::Order::NewestFirst.into(), ..list.clone() };
        let reversed: Vec<String> = of_acme.iter().rev().cloned().collect();
        assert_eq!(found(&t.with_key(&key), newest.clone()).await, reversed);
        let unnamed = pb::ListApiKeysRequest { query: "nothing".to_owned(), ..newest };
        assert_eq!(found(&t.with_key(&key), unnamed).await, Vec::<String>::new());
    }
    let request = update(&keys[0], &["metadata.service"], object("service", "crm"));
    let after = t.admin().api_keys().update_api_key(request).await.answered().api_key.unwrap();
    assert_eq!(after.metadata, json(&[("service", words("crm")), ("keep", words("x"))]));
    let revoke = pb::RevokeApiKeyRequest { api_key_id: keys[1].id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    assert_eq!(found(&t.admin(), list.clone()).await, of_acme[2..]);
    let all = pb::ListApiKeysRequest { include_revoked: true, ..list };
    assert_eq!(found(&t.admin(), all).await, of_acme[1..]);
    let purge = pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    let left = "SELECT value FROM cf_metadata_entries WHERE kind = 'api_key'";
    assert_eq!(t.database.texts(left).await.len(), 2);
}
