//! Access to every method of the descriptor set. New methods are covered automatically.

use std::sync::Arc;

use prost::Message as _;
use tenantry::pb::{
    self, ErrorReason, batch_verify_api_keys_result::Outcome, create_api_key_request::Owner,
    verify_stream_answer::Outcome as Told, verify_stream_response::Kind,
};
use tonic::{Code, Status};

use crate::support::{
    Answered as _, Api, DAY, Test, both, raw,
    refusal::{self, reason_of},
    request::{World, encode},
    time_in,
};

async fn call(
    api: &Api,
    keys: &[&str],
    method: &prost_reflect::MethodDescriptor,
    world: &World,
) -> Result<Vec<u8>, Status> {
    raw::call(api, &raw::path(method), encode(&world.request(method)), raw::bearer(keys)).await
}

/// Invalid credentials that look valid, each with its defect.
async fn useless_keys(t: &Test, user: &pb::User) -> Vec<(&'static str, Vec<String>)> {
    let owner = || Owner::UserId(user.id.clone());
    let expiring = pb::CreateApiKeyRequest {
        owner: Some(owner()),
        name: "expiring".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        expires_at: time_in(t, 60),
        ..Default::default()
    };
    let expired = t.admin().api_keys().create_api_key(expiring).await.answered().plaintext_key;
    t.advance(DAY);
    let (key, revoked) = t.key(owner(), &["*"]).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let suspended_user = t.user("suspended").await;
    let suspended = t.user_key(&suspended_user).await;
    t.suspend(&suspended_user).await;
    let good = t.admin_key.clone();
    vec![
        ("none", vec![]),
        ("garbage", vec!["garbage".to_owned()]),
        ("a typo", vec![format!("{}{}", &good[..68], if good.ends_with('x') { 'y' } else { 'x' })]),
        (
            "unknown",
            vec![
                tenantry::security::token::SecretPrefixes::default()
                    .mint_api_key(tenantry::models::Environment::Live)
                    .0
                    .expose()
                    .to_owned(),
            ],
        ),
        ("expired", vec![expired]),
        ("revoked", vec![revoked]),
        ("of a suspended owner", vec![suspended]),
        ("sent twice", vec![good.clone(), good]),
    ]
}

#[both]
async fn r37_without_a_usable_key_every_method_answers_alike(t: Arc<Test>) {
    let world = World::make(&t).await;
    let keys = useless_keys(&t, &world.user).await;
    let before = t.database.rows().await;
    let mut answers = Vec::new();
    for method in raw::methods() {
        for (what, keys) in &keys {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let status = call(&t.anonymous(), &keys, &method, &world).await.unwrap_err();
            assert_eq!(reason_of(&status), "UNAUTHENTICATED", "{} with a key that is {what}", method.full_name());
            answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, Code::Unauthenticated);
    assert_eq!(t.database.rows().await, before, "a refused call changed something");
}

#[both]
async fn r38_with_too_small_a_scope_every_method_is_denied(t: Arc<Test>) {
    let world = World::make(&t).await;
    let admin = t.first_admin().await;
    for method in raw::methods() {
        let scope = raw::access(&method).scope;
        let Some((resource, _)) = scope.split_once(':') else {
            assert!([raw::ENDS_ITS_KEY, raw::NAMES_NOTHING].contains(&method.name()), "{}", method.full_name());
            continue;
        };
        // A platform admin with another scope of the same resource: neither is enough.
        let (_, small) = t.key(Owner::UserId(admin.id.clone()), &[&format!("{resource}:other"), "other:*"]).await;
        let status = call(&t.anonymous(), &[&small], &method, &world).await.unwrap_err();
        assert_eq!(
            (status.code(), reason_of(&status)),
            (Code::PermissionDenied, "SCOPE_MISSING".to_owned()),
            "{}",
            method.full_name()
        );
        assert!(status.message().contains(&scope));
    }
}

#[both]
async fn with_its_scope_every_method_lets_a_platform_admin_in(t: Arc<Test>) {
    let admin = t.first_admin().await;
    for method in raw::methods() {
        let world = World::make(&t).await;
        let scope = raw::access(&method).scope;
        // A key must hold all that it grants: the permissions of the role `member`, and the scopes of a key.
        let of_members = ["organizations:read", "memberships:read", "users:read", "roles:read", "invitations:read"];
        let scopes: std::collections::BTreeSet<&str> = of_members.into_iter().chain([scope.as_str()]).collect();
        let scopes = scopes.into_iter().filter(|scope| !scope.is_empty()).collect::<Vec<_>>();
        let (_, key) = t.key(Owner::UserId(admin.id.clone()), &scopes).await;
        match call(&t.anonymous(), &[&key], &method, &world).await {
            Ok(_) => {}
            // The world's user is already a member and the only owner; the admin is not a member, and there are no other members.
            Err(status) => assert!(
                matches!(
                    reason_of(&status).as_str(),
                    // A session can only be refreshed with the key that started it.
                    "REFRESH_TOKEN_REJECTED"
                        | "MEMBERSHIP_EXISTS"
                        | "LAST_OWNER"
                        | "MEMBERSHIP_NOT_FOUND"
                        | "USER_NOT_FOUND"
                ),
                "{}: {status:?}",
                method.full_name(),
            ),
        }
    }
}

#[both]
async fn r39_foreign_and_missing_ids_are_answered_alike_and_reach_nothing(t: Arc<Test>) {
    let (world, other) = (World::make(&t).await, World::make(&t).await);
    let organization = pb::Organization { id: other.organization_id.clone(), ..Default::default() };
    let keys = [t.organization_key(&organization).await, t.user_key(&other.user).await];
    let before = t.database.rows().await;
    for method in raw::methods_about_something() {
        let platform_admin = raw::access(&method).platform_admin;
        for key in &keys {
            let foreign = call(&t.anonymous(), &[key], &method, &world).await;
            let missing = call(&t.anonymous(), &[key], &method, &World::missing()).await;
            if method.name() == "VerifyApiKey" {
                let answer = pb::VerifyApiKeyResponse::decode(foreign.unwrap().as_slice()).unwrap();
                let found = answer.verification.unwrap();
                assert_eq!((found.verdict(), found.api_key.len()), (pb::ApiKeyVerdict::Unknown, 0));
                continue;
            }
            if method.name() == "BatchVerifyApiKeys" {
                let answer = pb::BatchVerifyApiKeysResponse::decode(foreign.unwrap().as_slice()).unwrap();
                let Some(Outcome::Verification(found)) = &answer.results[0].outcome else { panic!("{answer:?}") };
                assert_eq!((found.verdict(), found.api_key.len()), (pb::ApiKeyVerdict::Unknown, 0));
                continue;
            }
            if method.name() == "VerifyStream" {
                let answer = pb::VerifyStreamResponse::decode(foreign.unwrap().as_slice()).unwrap();
                let Some(Kind::Answer(answer)) = answer.kind else { panic!("{answer:?}") };
                let Some(Told::Verification(found)) = answer.outcome else { panic!("{answer:?}") };
                assert_eq!((found.verdict(), found.api_key.len()), (pb::ApiKeyVerdict::Unknown, 0));
                continue;
            }
            if method.name().starts_with("BatchGet") {
                // The answers are equal except for the id.
                let answer = |bytes: Vec<u8>, id: &str| String::from_utf8_lossy(&bytes).replace(id, "");
                let id = if method.name() == "BatchGetUsers" { &world.user.id } else { &world.organization_id };
                assert_eq!(answer(foreign.unwrap(), id), answer(missing.unwrap(), crate::support::MISSING_ID));
                continue;
            }
            // Items are refused one by one.
            let is_batch = method.name().starts_with("Batch") && !platform_admin;
            if is_batch || method.name() == "IntrospectToken" {
                assert_eq!(foreign.unwrap(), missing.unwrap());
                continue;
            }
            let (foreign, missing) = (foreign.unwrap_err(), missing.unwrap_err());
            let expected = match method.name() {
                _ if platform_admin => Code::PermissionDenied,
                "RotateRefreshToken" | "RevokeRefreshToken" | "SignOut" => Code::FailedPrecondition,
                _ => Code::NotFound,
            };
            assert_eq!(foreign.code(), expected, "{}: {foreign:?}", method.full_name());
            assert_eq!(
                (foreign.code(), foreign.message(), foreign.details()),
                (missing.code(), missing.message(), missing.details()),
                "{}: a foreign id and a missing one differ",
                method.full_name(),
            );
            refusal::assert_says_nothing_of_the_inside(&foreign);
        }
    }
    assert_eq!(t.database.rows().await, before, "a refused call changed something");
}

#[both]
async fn r40_paths_that_resemble_a_method_are_unknown(t: Arc<Test>) {
    for path in [
        "/tenantry.v1.UserService/GetUserX",
        "/tenantry.v1.userservice/GetUser",
        "/tenantry.v1.UserService/getUser",
        "/tenantry.v1.UserService/%47etUser",
        "//tenantry.v1.UserService/GetUser",
        "/tenantry.v1.UserService/GetUser/",
        "/tenantry.v1.UserService/../UserService/GetUser",
        "/tenantry.v1.UserService/GetUser?x=1",
        "/tenantry.v2.UserService/GetUser",
    ] {
        for keys in [&[][..], &[t.admin_key.as_str()]] {
            let status = raw::call(&t.anonymous(), path, vec![], raw::bearer(keys)).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
            assert_eq!(reason_of(&status), refusal::name(ErrorReason::MethodUnknown));
        }
    }
}

#[both]
async fn health_and_reflection_need_no_credential(t: Arc<Test>) {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    use tonic_reflection::pb::{v1, v1alpha};
    let services: std::collections::BTreeSet<String> =
        raw::methods().iter().map(|method| method.parent_service().full_name().to_owned()).collect();
    let mut health = HealthClient::new(t.anonymous().channel);
    for service in services.iter().cloned().chain([String::new()]) {
        let answer = health.check(HealthCheckRequest { service }).await.answered();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }

    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(t.anonymous().channel);
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.answered();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(services.iter().all(|service| answer.contains(service)), "{answer}");

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "tenantry.v1.UserService".to_owned(),
        )),
    };
    let mut reflection = v1alpha::server_reflection_client::ServerReflectionClient::new(t.anonymous().channel);
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.answered();
    assert!(format!("{:?}", answers.message().await.unwrap().unwrap()).contains("FileDescriptorResponse"));
}

#[both(options = ["--reflection", "false"])]
async fn reflection_can_be_turned_off(t: Arc<Test>) {
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let status = raw::call(&t.anonymous(), path, vec![], raw::bearer(&[])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
