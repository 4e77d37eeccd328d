//! The last use of a key's secrets, and the addresses that it is limited to.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ApiKeyVerdict, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, mask, refused};

async fn secrets(t: &Test, key: &pb::ApiKey) -> Vec<pb::ApiKeySecret> {
    let request = pb::GetApiKeyRequest { api_key_id: key.id.clone() };
    t.admin().api_keys().get_api_key(request).await.answered().secrets
}

/// Waits until the last uses match.
async fn until(t: &Test, key: &pb::ApiKey, wanted: impl Fn(&[pb::ApiKeySecret]) -> bool) -> Vec<pb::ApiKeySecret> {
    let waits = async {
        loop {
            let secrets = secrets(t, key).await;
            if wanted(&secrets) {
                return secrets;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), waits).await.expect("the last use is recorded")
}

fn ranged(owner: Owner, ranges: &[&str]) -> pb::CreateApiKeyRequest {
    pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: "ranged".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: 1,
        allowed_ip_ranges: ranges.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

async fn verify(t: &Test, key: &str, address: &str) -> ApiKeyVerdict {
    let request = pb::VerifyApiKeyRequest {
        question: Some(pb::ApiKeyQuestion {
            plaintext_key: key.to_owned(),
            ip_address: address.to_owned(),
            ..Default::default()
        }),
    };
    t.admin().api_keys().verify_api_key(request).await.answered().verification.unwrap().verdict()
}

#[both(options = ["--usage-interval", "50ms"])]
async fn each_secret_tells_when_it_was_last_used(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, first) = t.key(Owner::UserId(ada.id.clone()), &["users:*"]).await;
    assert_eq!(secrets(&t, &key).await[0].last_used_at, None);
    // For a verification, and for a call.
    assert_eq!(verify(&t, &first, "").await, ApiKeyVerdict::Valid);
    let used = until(&t, &key, |secrets| secrets[0].last_used_at.is_some()).await;
    let get = pb::GetUserRequest { user_id: ada.id };
    t.with_key(&first).users().get_user(get.clone()).await.unwrap();
    t.advance(Duration::from_mins(1));
    t.with_key(&first).users().get_user(get.clone()).await.unwrap();
    let again = until(&t, &key, |secrets| {
        secrets[0].last_used_at.map(|at| at.seconds) >= used[0].last_used_at.map(|at| at.seconds + 59)
    })
    .await;
    let rotate = pb::RotateApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    let second = t.admin().api_keys().rotate_api_key(rotate).await.answered().plaintext_key;
    let rotated = secrets(&t, &key).await;
    assert_eq!((rotated[0].last_used_at, rotated[1].last_used_at), (None, again[0].last_used_at));
    t.with_key(&second).users().get_user(get.clone()).await.unwrap();
    let after = until(&t, &key, |secrets| secrets[0].last_used_at.is_some()).await;
    assert_eq!(after[1].last_used_at, again[0].last_used_at);
    t.advance(Duration::from_mins(1));
    t.with_key(&first).users().get_user(get).await.unwrap();
    until(&t, &key, |secrets| secrets[1].last_used_at != again[0].last_used_at).await;
    // This does not change the key: no revision, no event.
    let request = pb::ListEventsRequest { resource_id: key.id.clone(), ..Default::default() };
    let events = t.admin().events().list_events(request).await.answered().events;
    assert_eq!(
        events.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(),
        ["api_key.rotated", "api_key.created"]
    );
}

#[both(options = ["--usage-interval", "50ms"])]
async fn no_secret_was_used_before_it_was_created(t: Arc<Test>) {
    let ada = t.user("ada").await;
    // Times of use are rounded down, mostly to before the moment of creation.
    for _ in 0..10 {
        let (key, first) = t.key(Owner::UserId(ada.id.clone()), &["users:*"]).await;
        assert_eq!(verify(&t, &first, "").await, ApiKeyVerdict::Valid);
        until(&t, &key, |secrets| secrets[0].last_used_at.is_some()).await;
        let rotate = pb::RotateApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
        let second = t.admin().api_keys().rotate_api_key(rotate).await.answered().plaintext_key;
        assert_eq!(verify(&t, &second, "").await, ApiKeyVerdict::Valid);
        for secret in until(&t, &key, |secrets| secrets[0].last_used_at.is_some()).await {
            let at = |time: Option<prost_types::Timestamp>| time.map(|at| (at.seconds, at.nanos));
            assert!(at(secret.last_used_at) >= at(secret.created_at), "{secret:?}");
        }
    }
}

#[both]
async fn a_refused_call_does_not_count_as_a_use_and_verifying_writes_nothing(t: Arc<Test>) {
    let (key, text) = t.key(Owner::UserId(t.user("ada").await.id), &["users:read"]).await;
    let before = t.database.rows().await;
    for _ in 0..100 {
        assert_eq!(verify(&t, &text, "").await, ApiKeyVerdict::Valid);
    }
    assert_eq!(t.database.rows().await, before);
    assert_eq!(secrets(&t, &key).await[0].last_used_at, None);
}

#[both]
async fn a_key_is_good_from_its_addresses_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let owner = || Owner::UserId(ada.id.clone());
    let mut keys = t.admin().api_keys();
    let created =
        keys.create_api_key(ranged(owner(), &["203.0.113.7", "2001:db8::/32", "203.0.113.7/32"])).await.answered();
    let (key, text) = (created.api_key.unwrap(), created.plaintext_key);
    assert_eq!(key.allowed_ip_ranges, ["203.0.113.7/32", "2001:db8::/32"]);
    for (address, verdict) in [
        ("203.0.113.7", ApiKeyVerdict::Valid),
        ("::ffff:203.0.113.7", ApiKeyVerdict::Valid),
        ("2001:db8:1::9", ApiKeyVerdict::Valid),
        ("203.0.113.8", ApiKeyVerdict::IpNotAllowed),
        ("", ApiKeyVerdict::IpNotAllowed),
    ] {
        assert_eq!(verify(&t, &text, address).await, verdict, "{address}");
    }
    // The address of a call is that of its connection, whatever its metadata says.
    let mut users = t.with_key(&text).users();
    let mut request = tonic::Request::new(pb::GetUserRequest { user_id: ada.id.clone() });
    for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
        request.metadata_mut().insert(name, "203.0.113.7".parse().unwrap());
    }
    refused(users.get_user(request).await, ErrorReason::Unauthenticated);
    let here = pb::UpdateApiKeyRequest {
        api_key_id: key.id.clone(),
        allowed_ip_ranges: vec!["127.0.0.0/8".to_owned()],
        update_mask: mask(&["allowed_ip_ranges"]),
        ..Default::default()
    };
    keys.update_api_key(here.clone()).await.unwrap();
    users.get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    for wrong in ["x", "10.0.0.1/8", "10.0.0.0/40", ""] {
        let wrong = pb::UpdateApiKeyRequest { allowed_ip_ranges: vec![wrong.to_owned()], ..here.clone() };
        refused(keys.update_api_key(wrong).await, ErrorReason::InvalidArgument);
    }
    let many = pb::UpdateApiKeyRequest { allowed_ip_ranges: vec!["::1".to_owned(); 51], ..here.clone() };
    refused(keys.update_api_key(many).await, ErrorReason::InvalidArgument);

    // A limited key cannot create or rotate keys without the limit.
    let mut own = t.with_key(&text).api_keys();
    own.create_api_key(ranged(owner(), &["127.0.0.1"])).await.unwrap();
    for ranges in [&[][..], &["126.0.0.0/7"], &["127.0.0.1", "::1"]] {
        refused(own.create_api_key(ranged(owner(), ranges)).await, ErrorReason::IpRangeNotHeld);
    }
    let anywhere = pb::UpdateApiKeyRequest { allowed_ip_ranges: vec![], ..here };
    refused(own.update_api_key(anywhere).await, ErrorReason::IpRangeNotHeld);
    let (free, _) = t.key(owner(), &["*"]).await;
    let rotate = pb::RotateApiKeyRequest { api_key_id: free.id, ..Default::default() };
    refused(own.rotate_api_key(rotate).await, ErrorReason::IpRangeNotHeld);
}

#[both]
async fn a_stream_answers_for_an_address_too(t: Arc<Test>) {
    let created = t
        .admin()
        .api_keys()
        .create_api_key(ranged(Owner::UserId(t.user("ada").await.id), &["203.0.113.0/24"]))
        .await
        .answered();
    let ask = |question_id, address: &str| pb::VerifyStreamRequest {
        question_id,
        question: Some(pb::ApiKeyQuestion {
            plaintext_key: created.plaintext_key.clone(),
            ip_address: address.to_owned(),
            ..Default::default()
        }),
    };
    let questions = tokio_stream::iter([ask(1, "203.0.113.9"), ask(2, "203.0.112.9"), ask(3, "nowhere")]);
    let mut answers = t.admin().api_keys().verify_stream(questions).await.answered();
    let mut reported = std::collections::BTreeMap::new();
    while reported.len() < 3 {
        let message = answers.message().await.unwrap().unwrap().kind.unwrap();
        if let pb::verify_stream_response::Kind::Answer(answer) = message {
            let outcome = match answer.outcome.unwrap() {
                pb::verify_stream_answer::Outcome::Verification(found) => found.verdict().as_str_name(),
                pb::verify_stream_answer::Outcome::Error(reason) => {
                    ErrorReason::try_from(reason).unwrap().as_str_name()
                }
            };
            reported.insert(answer.question_id, outcome);
        }
    }
    assert_eq!(
        reported.into_values().collect::<Vec<_>>(),
        ["API_KEY_VERDICT_VALID", "API_KEY_VERDICT_IP_NOT_ALLOWED", "ERROR_REASON_INVALID_ARGUMENT"]
    );
}
