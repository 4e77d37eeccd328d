//! `ApiKeyService.VerifyApiKey`.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use tenantry::{
    clock::Clock as _,
    pb::{self, ApiKeyVerdict as Verdict, ErrorReason, create_api_key_request::Owner},
};

use crate::support::{
    Answered as _, Api, DAY, SEALING_KEYS, Test, both, refusal::fields, refused, serving::Serving, statements, time_in,
};

fn verify(key: &str, scope: &str) -> pb::VerifyApiKeyRequest {
    pb::VerifyApiKeyRequest {
        question: Some(pb::ApiKeyQuestion {
            plaintext_key: key.to_owned(),
            required_scope: scope.to_owned(),
            ..Default::default()
        }),
    }
}

async fn verdict(api: &Api, key: &str, scope: &str) -> Verdict {
    let answer = api.api_keys().verify_api_key(verify(key, scope)).await.answered().verification.unwrap();
    assert_eq!(answer.api_key.is_empty(), answer.verdict() == Verdict::Unknown);
    answer.verdict()
}

fn micros(time: &prost_types::Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1000
}

#[both]
async fn a_verdict_is_an_answer_for_every_kind_of_key(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let owner = || Owner::UserId(ada.id.clone());
    let (key, good) = t.key(owner(), &["invoices:*"]).await;
    let answer = t.admin().api_keys().verify_api_key(verify(&good, "")).await.answered().verification.unwrap();
    assert_eq!((answer.verdict(), pb::ApiKey::decode(answer.api_key).unwrap()), (Verdict::Valid, key.clone()));
    let admin = t.admin();
    assert_eq!(verdict(&admin, &good, "invoices:read").await, Verdict::Valid);
    assert_eq!(verdict(&admin, &good, "users:read").await, Verdict::ScopeMissing);
    let unknown = "cf_live_000000000000000000000000000000000000000000000000000000000000000000000";
    let other_secret = format!("{}{}", &good[..20], &t.admin_key[20..]);
    for text in ["x", unknown, &good[..68], &good.to_uppercase(), &other_secret, "\0", &format!("{good} ")] {
        assert_eq!(verdict(&admin, text, "").await, Verdict::Unknown, "{text}");
    }
    t.suspend(&ada).await;
    assert_eq!(verdict(&admin, &good, "").await, Verdict::OwnerInactive);
    t.reactivate(&ada).await;
    let expiring = pb::UpdateApiKeyRequest {
        api_key_id: key.id.clone(),
        expires_at: time_in(&t, 60),
        update_mask: crate::support::mask(&["expires_at"]),
        ..Default::default()
    };
    admin.api_keys().update_api_key(expiring).await.unwrap();
    assert_eq!(verdict(&admin, &good, "").await, Verdict::Valid);
    t.advance(DAY);
    assert_eq!(verdict(&admin, &good, "").await, Verdict::Expired);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
    admin.api_keys().revoke_api_key(revoke).await.unwrap();
    assert_eq!(verdict(&admin, &good, "").await, Verdict::Revoked);
}

#[both]
async fn concurrent_questions_about_one_key_share_one_query(t: Arc<Test>) {
    statements::record();
    let own = Test::start_like(&t).await;
    let ada = own.user("ada").await;
    let mut shared = 0;
    for _ in 0..20 {
        let (key, text) = own.key(Owner::UserId(ada.id.clone()), &["users:read"]).await;
        statements::watch(&key.prefix);
        let asked: Vec<_> = (0..32)
            .map(|_| {
                let (api, text) = (own.admin(), text.clone());
                tokio::spawn(async move { verdict(&api, &text, "").await })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Verdict::Valid);
        }
        shared += usize::from(statements::seen(&key.prefix) == 1);
    }
    // A lookup is repeated if something else changed meanwhile, which can happen on a busy machine.
    assert!(shared >= 15, "only {shared} of 20 rounds shared one lookup");
    own.stop().await;
}

#[both]
async fn a_key_out_of_reach_is_unknown(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
    let key = t.organization_key(&acme).await;
    assert_eq!(verdict(&t.with_key(&t.organization_key(&acme).await), &key, "").await, Verdict::Valid);
    assert_eq!(verdict(&t.with_key(&t.organization_key(&evil).await), &key, "").await, Verdict::Unknown);
    assert_eq!(verdict(&t.with_key(&t.user_key(&eve).await), &key, "").await, Verdict::Unknown);
}

#[both]
async fn it_has_a_scope_of_its_own_and_writes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, narrow) = t.key(Owner::UserId(ada.id.clone()), &["api_keys:read", "api_keys:write"]).await;
    refused(t.with_key(&narrow).api_keys().verify_api_key(verify(&narrow, "")).await, ErrorReason::ScopeMissing);
    let writes = async || {
        let before = t.database.bytes().await;
        for _ in 0..20 {
            verdict(&t.admin(), &narrow, "").await;
        }
        t.database.bytes().await != before
    };
    // A job may write at the same time that the key was used.
    let mut attempts = 0;
    while writes().await {
        attempts += 1;
        assert!(attempts < 10, "a verification wrote to the database");
    }
}

#[both]
async fn an_empty_and_an_endless_key_are_refused(t: Arc<Test>) {
    for text in [String::new(), "x".repeat(513)] {
        let status =
            refused(t.admin().api_keys().verify_api_key(verify(&text, "")).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["question.plaintext_key"]);
    }
    let status = refused(
        t.admin().api_keys().verify_api_key(pb::VerifyApiKeyRequest::default()).await,
        ErrorReason::InvalidArgument,
    );
    assert_eq!(fields(&status), ["question"]);
    refused(t.admin().api_keys().verify_api_key(verify("x", "not a scope")).await, ErrorReason::InvalidArgument);
}

#[both]
async fn a_key_that_is_known_is_verified_without_looking_at_any_key_in_the_database(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let rename = async |from: &str, to: &str| t.database.execute(&format!("ALTER TABLE {from} RENAME TO {to}")).await;
    // The first verification reads the database, and so does the first one after the process starts to follow changes.
    loop {
        verdict(&t.admin(), &good, "").await;
        rename("cf_api_keys", "gone").await;
        let answer = t.admin().api_keys().verify_api_key(verify(&good, "")).await;
        rename("gone", "cf_api_keys").await;
        if answer.is_ok_and(|answer| answer.into_inner().verification.unwrap().verdict() == Verdict::Valid) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn no_process_says_valid_for_longer_than_a_second_after_the_key_is_revoked(t: Arc<Test>) {
    let process = Serving::start_patient(&t.database.url(), &[]);
    let other = process.with_key(&t.admin_key);
    let ada = t.user("ada").await;
    for _ in 0..5 {
        let (key, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
        assert_eq!(verdict(&t.admin(), &good, "").await, Verdict::Valid);
        assert_eq!(verdict(&other, &good, "").await, Verdict::Valid);
        let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
        t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
        let latest = t.clock.now().after(Duration::from_secs(1));
        assert_eq!(verdict(&t.admin(), &good, "").await, Verdict::Revoked, "the revoking process knows at once");
        loop {
            let answer = other.api_keys().verify_api_key(verify(&good, "")).await.answered().verification.unwrap();
            if answer.verdict() == Verdict::Revoked {
                break;
            }
            let until = answer.valid_until.unwrap();
            let until = micros(&until);
            assert!(until <= latest.as_micros(), "a verdict lasts {} µs too long", until - latest.as_micros());
        }
    }
}

#[both]
async fn a_process_that_cannot_ask_the_database_forgets_within_a_second(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    verdict(&t.admin(), &good, "").await;
    for table in ["cf_events", "cf_api_keys"] {
        t.database.execute(&format!("ALTER TABLE {table} RENAME TO gone_{table}")).await;
    }
    let latest = t.clock.now().after(Duration::from_secs(1));
    while let Ok(answer) = t.admin().api_keys().verify_api_key(verify(&good, "")).await {
        let until = answer.into_inner().verification.unwrap().valid_until.unwrap();
        let until = micros(&until);
        assert!(until <= latest.as_micros(), "a verdict lasts {} µs too long", until - latest.as_micros());
    }
}

#[both]
async fn no_verdict_outlasts_the_key(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(ada.id.clone())),
        name: "short".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        expires_at: time_in(&t, 3600),
        ..Default::default()
    };
    let created = t.admin().api_keys().create_api_key(request).await.answered();
    let expires_at = created.api_key.unwrap().expires_at.unwrap();
    let almost = Duration::from_millis(3_599_500);
    t.advance(almost);
    let answer =
        t.admin().api_keys().verify_api_key(verify(&created.plaintext_key, "")).await.answered().verification.unwrap();
    let until = answer.valid_until.unwrap();
    let outlasts = (until.seconds, until.nanos) > (expires_at.seconds, expires_at.nanos);
    assert!(answer.verdict() == Verdict::Expired || !outlasts);
}
