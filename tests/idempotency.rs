//! A request with an id has one effect and one answer, however often it is sent.

use std::{collections::HashSet, sync::Arc, time::Duration};

use prost_reflect::{DynamicMessage, Value};
use tenantry::pb::{self, ErrorReason};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    events::{changing, ready},
    support::{
        Answered as _, Backend, Test, both,
        database::TestDatabase,
        follow::{actions, list},
        given::Issued as _,
        raw, refused,
        request::encode,
        serving::Serving,
    },
};

fn named(email: &str, request_id: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest {
        email: email.to_owned(),
        name: "X".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

#[both]
async fn every_method_that_changes_something_answers_the_same_request_alike(t: Arc<Test>) {
    // A caller who revoked its own key cannot repeat the call.
    for method in changing().into_iter().filter(|method| method.name() != raw::ENDS_ITS_KEY) {
        let (_, request) = ready(&t, &method).await;
        let mut request = DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
        request.set_field_by_name("request_id", Value::String(id()));
        let send = async || {
            raw::call(&t.anonymous(), &raw::path(&method), encode(&request), raw::bearer(&[&t.admin_key])).await
        };
        let first = send().await.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));
        let (rows, events) = (t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await);
        for _ in 0..2 {
            assert!(send().await.unwrap() == first, "{}", method.full_name());
        }
        assert_eq!(t.database.rows().await, rows, "{}", method.full_name());
        assert_eq!(list(&t.admin(), pb::ListEventsRequest::default()).await, events);

        // The same id with other contents is refused.
        let other = DynamicMessage::new(method.input());
        let mut other = encode(&other);
        other.extend([0x7a, 36]);
        other.extend(request.get_field_by_name("request_id").unwrap().as_str().unwrap().as_bytes());
        let status =
            raw::call(&t.anonymous(), &raw::path(&method), other, raw::bearer(&[&t.admin_key])).await.unwrap_err();
        assert!(
            ["REQUEST_ID_REUSED", "INVALID_ARGUMENT"].contains(&crate::support::refusal::reason_of(&status).as_str())
        );
    }
}

#[both]
async fn another_request_under_the_same_id_is_refused(t: Arc<Test>) {
    let request_id = id();
    let created = t.admin().users().create_user(named("a@example.com", &request_id)).await.answered().user.unwrap();
    let status =
        refused(t.admin().users().create_user(named("b@example.com", &request_id)).await, ErrorReason::RequestIdReused);
    assert_eq!(tonic_types::StatusExt::get_details_error_info(&status).unwrap().metadata["field"], "request_id");
    // Another method with the same fields is another request.
    let suspend = pb::SuspendUserRequest { user_id: created.id.clone(), request_id: id(), ..Default::default() };
    t.admin().users().suspend_user(suspend.clone()).await.unwrap();
    let delete =
        pb::DeleteUserRequest { user_id: created.id.clone(), request_id: suspend.request_id, ..Default::default() };
    refused(t.admin().users().delete_user(delete).await, ErrorReason::RequestIdReused);
    let get = pb::GetUserByEmailRequest { email: "b@example.com".to_owned() };
    refused(t.admin().users().get_user_by_email(get).await, ErrorReason::UserNotFound);
}

#[both]
async fn an_id_belongs_to_the_key_that_sent_it(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let request_id = id();
    let session = |user: &pb::User| pb::CreateRefreshTokenRequest {
        user_id: user.id.clone(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    let create = async |key: &str, user: &pb::User| {
        t.with_key(key).refresh_tokens().create_refresh_token(session(user)).await.answered().issued()
    };
    let (of_ada, of_bob) = (t.user_key(&ada).await, t.user_key(&bob).await);
    let first = create(&of_ada, &ada).await;
    assert_ne!(first, create(&of_bob, &bob).await);
    assert_eq!(first, create(&of_ada, &ada).await);
    // Request ids appear in events, and the contents of requests can be guessed. Another key of the same user with fewer permissions must
    // not get the secret of the first answer.
    assert_ne!(first, create(&t.user_key(&ada).await, &ada).await);
}

#[both]
async fn a_refusal_is_not_remembered(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.suspend(&ada).await;
    let session = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), request_id: id(), ..Default::default() };
    refused(t.admin().refresh_tokens().create_refresh_token(session.clone()).await, ErrorReason::UserSuspended);
    t.reactivate(&ada).await;
    let (_, text) = t.session(&ada).await;
    t.admin().refresh_tokens().create_refresh_token(session).await.unwrap();
    // A refusal that changed something is not remembered either.
    t.rotate(&text).await.unwrap();
    let rotate = pb::RotateRefreshTokenRequest { plaintext_token: text, request_id: id() };
    for _ in 0..2 {
        refused(
            t.admin().refresh_tokens().rotate_refresh_token(rotate.clone()).await,
            ErrorReason::RefreshTokenRejected,
        );
    }
    let remembered = t.database.texts("SELECT 'x' AS value FROM cf_remembered_answers").await;
    assert_eq!(remembered.len(), 1);
}

#[both]
async fn an_id_is_free_again_after_a_day(t: Arc<Test>) {
    let request_id = id();
    t.admin().users().create_user(named("a@example.com", &request_id)).await.unwrap();
    t.advance(Duration::from_mins(24 * 60 - 1));
    refused(t.admin().users().create_user(named("b@example.com", &request_id)).await, ErrorReason::RequestIdReused);
    t.advance(Duration::from_mins(2));
    t.admin().users().create_user(named("b@example.com", &request_id)).await.unwrap();
    refused(t.admin().users().create_user(named("a@example.com", &request_id)).await, ErrorReason::RequestIdReused);
}

#[both(options = ["--request-memory", "1h"])]
async fn how_long_is_a_setting(t: Arc<Test>) {
    let request_id = id();
    t.admin().users().create_user(named("a@example.com", &request_id)).await.unwrap();
    t.advance(Duration::from_mins(61));
    t.admin().users().create_user(named("b@example.com", &request_id)).await.unwrap();
}

#[both]
async fn secrets_in_remembered_answers_are_sealed_in_their_place(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let session = |request_id: &str| pb::CreateRefreshTokenRequest {
        user_id: ada.id.clone(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let (one, two) = (id(), id());
    let answer = t.admin().refresh_tokens().create_refresh_token(session(&one)).await.answered().issued();
    t.admin().refresh_tokens().create_refresh_token(session(&two)).await.unwrap();
    let bytes = t.database.bytes().await;
    let secret = &answer.plaintext_token.as_bytes()[6..];
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    let ids = t.database.texts("SELECT 'x' AS value FROM cf_remembered_answers").await;
    assert_eq!(ids.len(), 2);
    t.database.execute("UPDATE cf_remembered_answers SET answer = (SELECT answer FROM cf_remembered_answers ORDER BY request_id LIMIT 1)").await;
    let one = t.admin().refresh_tokens().create_refresh_token(session(&one)).await;
    let two = t.admin().refresh_tokens().create_refresh_token(session(&two)).await;
    assert_ne!(one.is_ok(), two.is_ok());
    refused(if one.is_ok() { two } else { one }, ErrorReason::SealedValueUnreadable);
}

#[both]
async fn of_64_calls_with_one_id_at_once_one_has_an_effect(t: Arc<Test>) {
    for round in 0..5 {
        let request = named(&format!("{round}@example.com"), &id());
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let (mut users, request) = (t.admin().users(), request.clone());
            calls.spawn(async move { users.create_user(request).await.answered().user.unwrap() });
        }
        let created: HashSet<String> = calls.join_all().await.into_iter().map(|user| format!("{user:?}")).collect();
        assert_eq!(created.len(), 1, "round {round}");
    }
    let events =
        list(&t.admin(), pb::ListEventsRequest { actions: vec!["user.created".to_owned()], ..Default::default() })
            .await;
    assert_eq!(actions(&events).len(), 6);
}

#[both]
async fn an_id_that_is_no_uuid_is_refused(t: Arc<Test>) {
    for text in ["x", "0190a5d0000070008000000000000000", "01900000-0000-7000-8000-00000000000g"] {
        let status =
            refused(t.admin().users().create_user(named("a@example.com", text)).await, ErrorReason::InvalidArgument);
        assert_eq!(crate::support::refusal::fields(&status), ["request_id"]);
    }
}

#[both]
async fn of_64_calls_to_two_processes_one_has_an_effect(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let servers = [Serving::on(&database).await, Serving::on(&database).await];
    let key = servers[0].first_admin_key.clone().unwrap();
    for round in 0..5 {
        let request = named(&format!("{round}@example.com"), &id());
        let mut calls = JoinSet::new();
        for call in 0..64 {
            let (mut users, request) = (servers[call % 2].with_key(&key).users(), request.clone());
            calls.spawn(async move { users.create_user(request).await.answered().user.unwrap() });
        }
        let created: HashSet<String> = calls.join_all().await.into_iter().map(|user| format!("{user:?}")).collect();
        assert_eq!(created.len(), 1, "round {round}");
    }
    assert_eq!(database.texts("SELECT email AS value FROM cf_users").await.len(), 6);
    drop(servers);
    database.remove().await;
}
