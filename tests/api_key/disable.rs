//! `ApiKeyService.DisableApiKey`.

use std::{sync::Arc, time::Duration};

use tenantry::{
    clock::Clock as _,
    pb::{self, ApiKeyVerdict as Verdict, ErrorReason, create_api_key_request::Owner},
};

use crate::support::{Answered as _, Api, SEALING_KEYS, Test, both, question, refused, serving::Serving};

fn disable(key: &pb::ApiKey) -> pb::DisableApiKeyRequest {
    pb::DisableApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() }
}

async fn verification(api: &Api, key: &str) -> pb::ApiKeyVerification {
    let verify = pb::VerifyApiKeyRequest { question: question(key) };
    api.api_keys().verify_api_key(verify).await.answered().verification.unwrap()
}

#[both]
async fn a_disabled_key_stops_with_the_next_call(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    let mut users = t.with_key(&text).users();
    users.get_user(get.clone()).await.unwrap();
    let disabled = t.admin().api_keys().disable_api_key(disable(&key)).await.answered();
    assert!(disabled.api_key.as_ref().unwrap().disabled_at.is_some());
    refused(users.get_user(get).await, ErrorReason::Unauthenticated);
    let reported = verification(&t.admin(), &text).await;
    assert_eq!((reported.verdict(), reported.api_key.is_empty()), (Verdict::Disabled, false));
    assert_eq!(t.admin().api_keys().disable_api_key(disable(&key)).await.answered(), disabled);
    let list = pb::ListApiKeysRequest {
        owner: Some(pb::list_api_keys_request::Owner::UserId(ada.id.clone())),
        ..Default::default()
    };
    assert_eq!(t.admin().api_keys().list_api_keys(list).await.answered().api_keys, [disabled.api_key.unwrap()]);
}

#[both]
async fn a_key_can_disable_itself_and_no_foreign_or_revoked_one(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let (key, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["api_keys:write"]).await;
    for user in [&bob, &eve] {
        let mut keys = t.with_key(&t.user_key(user).await).api_keys();
        refused(keys.disable_api_key(disable(&key)).await, ErrorReason::ApiKeyNotFound);
    }
    let stale = pb::DisableApiKeyRequest { etag: "r0".to_owned(), ..disable(&key) };
    refused(t.admin().api_keys().disable_api_key(stale).await, ErrorReason::EtagMismatch);
    t.with_key(&text).api_keys().disable_api_key(disable(&key)).await.unwrap();
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    refused(t.admin().api_keys().disable_api_key(disable(&key)).await, ErrorReason::ApiKeyRevoked);
    assert_eq!(verification(&t.admin(), &text).await.verdict(), Verdict::Revoked);
}

#[both]
async fn the_former_secret_of_a_rotated_key_is_disabled_too_and_cannot_disable(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, former) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let rotate = pb::RotateApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    let current = t.admin().api_keys().rotate_api_key(rotate).await.answered().plaintext_key;
    refused(t.with_key(&former).api_keys().disable_api_key(disable(&key)).await, ErrorReason::FormerSecret);
    t.admin().api_keys().disable_api_key(disable(&key)).await.unwrap();
    for text in [&former, &current] {
        assert_eq!(verification(&t.admin(), text).await.verdict(), Verdict::Disabled);
    }
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn other_processes_know_within_a_second(t: Arc<Test>) {
    let process = Serving::start_patient(&t.database.url(), &[]);
    let other = process.with_key(&t.admin_key);
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    for _ in 0..3 {
        for api in [&t.admin(), &other] {
            while verification(api, &text).await.verdict() != Verdict::Valid {}
        }
        t.admin().api_keys().disable_api_key(disable(&key)).await.unwrap();
        let latest = t.clock.now().after(Duration::from_secs(1));
        assert_eq!(verification(&t.admin(), &text).await.verdict(), Verdict::Disabled, "this process knows at once");
        loop {
            let reported = verification(&other, &text).await;
            if reported.verdict() == Verdict::Disabled {
                break;
            }
            let until = reported.valid_until.unwrap();
            let until = until.seconds * 1_000_000 + i64::from(until.nanos) / 1000;
            assert!(until <= latest.as_micros(), "a verdict lasts {} µs too long", until - latest.as_micros());
        }
        let enable = pb::EnableApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
        t.admin().api_keys().enable_api_key(enable).await.unwrap();
    }
}
