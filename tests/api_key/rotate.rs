//! `ApiKeyService.RotateApiKey`.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ApiKeyVerdict, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Api, MISSING_ID, Test, both, question, refused, rounds, time_in};

fn rotate(key: &pb::ApiKey, overlap_seconds: i64) -> pb::RotateApiKeyRequest {
    let overlap = Some(prost_types::Duration { seconds: overlap_seconds, nanos: 0 });
    pb::RotateApiKeyRequest { api_key_id: key.id.clone(), overlap, ..Default::default() }
}

async fn verify(api: &Api, key: &str) -> pb::ApiKeyVerification {
    let request = pb::VerifyApiKeyRequest { question: question(key) };
    api.api_keys().verify_api_key(request).await.answered().verification.unwrap()
}

#[both]
async fn two_secrets_are_one_key_until_the_overlap_ends(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, first) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let rotated = t.admin().api_keys().rotate_api_key(rotate(&key, 3600)).await.answered();
    let (after, second) = (rotated.api_key.unwrap(), rotated.plaintext_key);
    assert_eq!((&after.id, &after.scopes, &after.created_at), (&key.id, &key.scopes, &key.created_at));
    assert!(after.prefix != key.prefix && second.starts_with(&after.prefix) && after.rotated_at.is_some());
    for text in [&first, &second] {
        let found = verify(&t.admin(), text).await;
        assert_eq!(found.verdict(), ApiKeyVerdict::Valid);
        t.with_key(text).users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    }
    // The former secret reports its end and stops then.
    let ends_at = verify(&t.admin(), &first).await.ends_at.unwrap();
    assert_eq!(ends_at.seconds, after.rotated_at.unwrap().seconds + 3600);
    assert_eq!(verify(&t.admin(), &second).await.ends_at, None);
    t.advance(Duration::from_hours(1));
    assert_eq!(verify(&t.admin(), &first).await.verdict(), ApiKeyVerdict::Expired);
    refused(
        t.with_key(&first).users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await,
        ErrorReason::Unauthenticated,
    );
    assert_eq!(verify(&t.admin(), &second).await.verdict(), ApiKeyVerdict::Valid);
    // A secret with another secret's prefix is unknown.
    let mixed = format!("{}{}", &first[..20], &second[20..]);
    assert_eq!(verify(&t.admin(), &mixed).await.verdict(), ApiKeyVerdict::Unknown);
}

#[both]
async fn the_former_secret_is_retired_at_once_and_one_from_before_it_by_another_rotation(t: Arc<Test>) {
    let (key, first) = t.key(Owner::UserId(t.user("ada").await.id), &["*"]).await;
    let mut keys = t.admin().api_keys();
    let second = keys.rotate_api_key(rotate(&key, 0)).await.answered().plaintext_key;
    assert_eq!(verify(&t.admin(), &first).await.verdict(), ApiKeyVerdict::Expired);
    let third = keys
        .rotate_api_key(pb::RotateApiKeyRequest { overlap: None, ..rotate(&key, 0) })
        .await
        .answered()
        .plaintext_key;
    let fourth = keys.rotate_api_key(rotate(&key, 3600)).await.answered().plaintext_key;
    let mut verdicts = Vec::new();
    for text in [&first, &second, &third, &fourth] {
        verdicts.push(verify(&t.admin(), text).await.verdict());
    }
    assert_eq!(verdicts, [ApiKeyVerdict::Unknown, ApiKeyVerdict::Unknown, ApiKeyVerdict::Valid, ApiKeyVerdict::Valid]);
    let secrets = keys.get_api_key(pb::GetApiKeyRequest { api_key_id: key.id }).await.answered().secrets;
    assert_eq!(secrets.len(), 2);
    assert!(fourth.starts_with(&secrets[0].prefix) && third.starts_with(&secrets[1].prefix));
    assert!(secrets[0].expires_at.is_none() && secrets[1].expires_at.is_some());
}

#[both]
async fn nobody_is_reported_a_secret_of_a_key_that_may_do_more_than_its_own(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (strong, _) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let weak = t.key(Owner::UserId(ada.id.clone()), &["api_keys:*", "users:read"]).await.1;
    refused(t.with_key(&weak).api_keys().rotate_api_key(rotate(&strong, 0)).await, ErrorReason::ScopeNotHeld);
    let short = pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(ada.id.clone())),
        name: "short".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: 1,
        expires_at: time_in(&t, 60),
        ..Default::default()
    };
    let short = t.admin().api_keys().create_api_key(short).await.answered().plaintext_key;
    refused(t.with_key(&short).api_keys().rotate_api_key(rotate(&strong, 0)).await, ErrorReason::ExpiryNotHeld);
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    let missing = pb::ApiKey { id: MISSING_ID.to_owned(), ..Default::default() };
    for key in [&strong, &missing] {
        refused(eves.rotate_api_key(rotate(key, 0)).await, ErrorReason::ApiKeyNotFound);
    }
    for overlap in [-1, 720 * 3600 + 1, i64::MAX] {
        refused(t.admin().api_keys().rotate_api_key(rotate(&strong, overlap)).await, ErrorReason::InvalidArgument);
    }
    let stale = pb::RotateApiKeyRequest { etag: "r9".to_owned(), ..rotate(&strong, 0) };
    refused(t.admin().api_keys().rotate_api_key(stale).await, ErrorReason::EtagMismatch);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: strong.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    refused(t.admin().api_keys().rotate_api_key(rotate(&strong, 0)).await, ErrorReason::ApiKeyRevoked);
}

#[both]
async fn an_organizations_key_is_rotated_with_the_permission_to_write_keys(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let (key, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    refused(
        t.with_key(&t.user_key(&bob).await).api_keys().rotate_api_key(rotate(&key, 0)).await,
        ErrorReason::ApiKeyNotFound,
    );
    t.with_key(&t.user_key(&ada).await).api_keys().rotate_api_key(rotate(&key, 0)).await.unwrap();
    t.with_key(&t.organization_key(&acme).await).api_keys().rotate_api_key(rotate(&key, 0)).await.unwrap();
}

#[both]
async fn a_stream_that_a_retired_secret_opened_ends(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let (key, first) = t.key(Owner::UserId(admin.id), &["*"]).await;
    let mut events = t.with_key(&first).events().watch_events(pb::WatchEventsRequest::default()).await.answered();
    events.message().await.unwrap().unwrap();
    t.admin().api_keys().rotate_api_key(rotate(&key, 0)).await.unwrap();
    let end = loop {
        match events.message().await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    refused::<()>(Err(end), ErrorReason::Unauthenticated);
}

#[both]
async fn while_a_key_is_rotated_neither_secret_is_refused(t: Arc<Test>) {
    let verifier = t.admin();
    let (key, mut text) = t.key(Owner::UserId(t.user("ada").await.id), &["*"]).await;
    for round in 0..rounds(40) {
        let (mut keys, request) = (t.admin().api_keys(), rotate(&key, 3600));
        let (rotated, before) = tokio::join!(keys.rotate_api_key(request), async {
            let mut verdicts = Vec::new();
            for _ in 0..5 {
                verdicts.push(verify(&verifier, &text).await.verdict());
            }
            verdicts
        });
        let next = rotated.unwrap().into_inner().plaintext_key;
        assert_eq!(before, [ApiKeyVerdict::Valid; 5], "round {round}");
        assert_eq!(verify(&verifier, &next).await.verdict(), ApiKeyVerdict::Valid, "round {round}");
        assert_eq!(verify(&verifier, &text).await.verdict(), ApiKeyVerdict::Valid, "round {round}");
        text = next;
    }
}
