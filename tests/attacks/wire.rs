//! A caller who has proved nothing, or who reads nothing, holds no resources.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1;

use crate::support::{
    Answered as _, Test, both,
    given::unique,
    held::Held,
    http2::{Connection, DATA, END_STREAM, HEADERS, PING, Raw, framed},
    mask, object, question,
    refusal::reason_of,
    refused,
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET_USER: &str = "/tenantry.v1.UserService/GetUser";
const GET_SIGNING_KEYS: &str = "/tenantry.v1.AuthenticationService/GetSigningKeys";

/// Sends the headers of calls without messages, a hundred on each connection, and waits until the server has received them.
async fn half_calls(t: &Test, connections: u32, path: &str, key: Option<&str>) -> Vec<Raw> {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let more: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut raw = Raw::open(t.address, &[]).await;
        for number in 0..100 {
            raw.call(number * 2 + 1, path, &more, 0).await.unwrap();
        }
        for _ in 0..2 {
            raw.send(PING, 0, 0, &[7; 8]).await.unwrap();
            while raw.next_of(&[PING]).await.unwrap().flags != 1 {}
        }
        held.push(raw);
    }
    held
}

async fn check(t: &Test, service: &str) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    Ok(HealthClient::new(t.anonymous().channel).check(request).await?.into_inner().status())
}

/// A user, and a key with scopes.
async fn tenant(t: &Test, scopes: &[&str]) -> (pb::User, String) {
    let user = t.user("tenant").await;
    let key = t.key(Owner::UserId(user.id.clone()), scopes).await.1;
    // The server caches the key.
    let _ = t.with_key(&key).users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await;
    (user, key)
}

/// The outcome of a call without a message.
async fn half_call(connection: &Connection, request: http::Request<()>) -> String {
    let mut requests = connection.requests.clone().ready().await.unwrap();
    let (response, _body) = requests.send_request(request, false).unwrap();
    let head = response.await.unwrap();
    reason_of(&Status::from_header_map(head.headers()).unwrap())
}

#[both]
async fn w1_half_health_checks_refuse_the_health_to_nobody(t: Arc<Test>) {
    let _held = half_calls(&t, 3, CHECK, None).await;
    for service in ["liveness", ""].repeat(10) {
        assert_eq!(check(&t, service).await.unwrap(), ServingStatus::Serving, "{service:?}");
    }
}

#[both]
async fn v21_health_checks_wait_for_their_message_for_a_moment_only(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let request = || http::Request::post(format!("http://test{CHECK}")).header("content-type", "application/grpc");
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (connection, request) = (connection.clone(), request().body(()).unwrap());
        calls.spawn(async move { half_call(&connection, request).await });
    }
    let ended = calls.join_all().await;
    let waited = ended.iter().filter(|reason| *reason == "DEADLINE_EXCEEDED").count();
    let refused = ended.iter().filter(|reason| *reason == "OVERLOADED").count();
    // All of them wait, none for long, and none is refused because of the others.
    assert_eq!((waited, refused), (20, 0), "{ended:?}");
    assert_eq!(check(&t, "liveness").await.unwrap(), ServingStatus::Serving);
}

#[both]
async fn v13_calls_without_a_message_take_no_place_from_anybody(t: Arc<Test>) {
    let (_, hostile) = tenant(&t, &["users:read"]).await;
    let (_, useless) = tenant(&t, &["nothing:here"]).await;
    let (bob, key) = tenant(&t, &["users:read", "api_keys:verify"]).await;
    let _held =
        (half_calls(&t, 3, GET_USER, Some(&hostile)).await, half_calls(&t, 3, GET_SIGNING_KEYS, Some(&useless)).await);
    for _ in 0..10 {
        t.with_key(&key).users().get_user(pb::GetUserRequest { user_id: bob.id.clone() }).await.unwrap();
        let verify = pb::VerifyApiKeyRequest { question: question(&key) };
        t.with_key(&key).api_keys().verify_api_key(verify).await.unwrap();
        t.user("new").await;
    }
}

#[both(options = ["--body-timeout", "300ms"])]
async fn a_message_that_does_not_come_soon_is_not_waited_for(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    for path in [GET_USER, "/tenantry.v1.UserService/CreateUser", "/tenantry.v1.EventService/WatchEvents"] {
        assert_eq!(
            half_call(&connection, connection.request(path).body(()).unwrap()).await,
            "DEADLINE_EXCEEDED",
            "{path}"
        );
    }
    // Half a message gets the same answer.
    let mut requests = connection.requests.clone().ready().await.unwrap();
    let (response, mut body) = requests.send_request(connection.request(GET_USER).body(()).unwrap(), false).unwrap();
    body.send_data(prost::bytes::Bytes::from_static(b"\0\0\0\0\x09\x0a"), false).unwrap();
    let status = Status::from_header_map(response.await.unwrap().headers()).unwrap();
    assert_eq!(reason_of(&status), "DEADLINE_EXCEEDED");
    let unknown = Connection { key: "none".to_owned(), ..connection.clone() };
    assert_eq!(
        half_call(&unknown, unknown.request(GET_USER).body(()).unwrap()).await,
        "UNAUTHENTICATED",
        "the call is refused at once"
    );
}

#[both]
async fn a_message_that_comes_in_pieces_is_answered(t: Arc<Test>) {
    let (user, key) = tenant(&t, &["users:read"]).await;
    let connection = Connection { key, ..Connection::open(&t).await };
    for pause in [false, true] {
        let mut requests = connection.requests.clone().ready().await.unwrap();
        let (response, mut body) =
            requests.send_request(connection.request(GET_USER).body(()).unwrap(), false).unwrap();
        for piece in framed(&pb::GetUserRequest { user_id: user.id.clone() }).chunks(3) {
            body.send_data(prost::bytes::Bytes::copy_from_slice(piece), false).unwrap();
            if pause {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // The end does not wait for the open request stream.
        crate::support::http2::ended(response).await.unwrap();
    }
}

#[both(options = ["--max-calls", "16"])]
async fn w2_one_owner_has_a_quarter_of_the_places_and_no_more(t: Arc<Test>) {
    let ((ada, one), (bob, other)) = (tenant(&t, &["*"]).await, tenant(&t, &["*"]).await);
    // Another key of the same owner.
    let same = t.user_key(&ada).await;
    let rename = |key: &str, user: &pb::User| {
        let (api, user_id) = (t.with_key(key), user.id.clone());
        let update =
            pb::UpdateUserRequest { user_id, name: unique("New"), update_mask: mask(&["name"]), ..Default::default() };
        async move { api.users().update_user(update).await.map(drop) }
    };
    rename(&same, &ada).await.unwrap();
    let held = Held::by_another_process(&t).await;
    let mut calls = JoinSet::new();
    for number in 0..12 {
        calls.spawn(rename(if number % 2 == 0 { &one } else { &same }, &ada));
    }
    // Three quarters of 16 are for writes, and a quarter of those for one owner.
    for _ in 0..9 {
        refused(calls.join_next().await.unwrap().unwrap(), ErrorReason::Overloaded);
    }
    let others = tokio::spawn(rename(&other, &bob));
    tokio::time::sleep(Duration::from_millis(100)).await;
    held.release().await;
    others.await.unwrap().unwrap();
    for answered in calls.join_all().await {
        answered.unwrap();
    }
}

#[both]
async fn w3_answers_that_nobody_takes_have_a_budget(t: Arc<Test>) {
    let (ada, key) = tenant(&t, &["users:read"]).await;
    let (bob, other) = tenant(&t, &["users:read"]).await;
    let update = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        metadata: object("large", &"x".repeat(15_500)),
        update_mask: mask(&["metadata"]),
        ..Default::default()
    };
    t.admin().users().update_user(update).await.unwrap();
    let (bearer, get) = (format!("Bearer {key}"), framed(&pb::GetUserRequest { user_id: ada.id.clone() }));
    let (mut held, mut taken) = (Vec::new(), 0);
    let refused_at = loop {
        assert!(taken < 700, "a client that reads nothing is answered without a limit");
        if taken % 100 == 0 {
            // A client with a zero window.
            held.push(Raw::open(t.address, &[(4, 0)]).await);
        }
        let raw = held.last_mut().unwrap();
        let stream = u32::try_from(taken % 100 * 2 + 1).unwrap();
        raw.call(stream, GET_USER, &[("authorization", &bearer)], 0).await.unwrap();
        raw.send(DATA, END_STREAM, stream, &get).await.unwrap();
        let answer = raw.next_of(&[HEADERS]).await.unwrap();
        // A refusal consists of headers only.
        if answer.flags & END_STREAM != 0 {
            break taken;
        }
        taken += 1;
    };
    assert!((400..=560).contains(&refused_at), "8 MiB are {refused_at} answers");
    t.with_key(&other).users().get_user(pb::GetUserRequest { user_id: bob.id.clone() }).await.unwrap();
    // Memory of abandoned answers is released.
    drop(held);
    let again = async || t.with_key(&key).users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await;
    while let Err(status) = again().await {
        refused(Err::<(), _>(status), ErrorReason::Overloaded);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[both(options = ["--answer-memory", "16MiB", "--send-timeout", "1h"])]
async fn w3_an_answer_that_nobody_takes_is_given_up_sooner_while_much_is_held(t: Arc<Test>) {
    let update = pb::CreateUserRequest {
        email: format!("{}@example.com", unique("large")),
        name: "Large".to_owned(),
        metadata: object("large", &"x".repeat(15_500)),
        ..Default::default()
    };
    let user = t.admin().users().create_user(update).await.answered().user.unwrap();
    let (bearer, get) = (format!("Bearer {}", t.admin_key), framed(&pb::GetUserRequest { user_id: user.id }));
    let mut held = Vec::new();
    // More than half of it.
    for _ in 0..6 {
        let mut raw = Raw::open(t.address, &[(4, 0)]).await;
        for number in 0..100 {
            raw.call(number * 2 + 1, GET_USER, &[("authorization", &bearer)], 0).await.unwrap();
            raw.send(DATA, END_STREAM, number * 2 + 1, &get).await.unwrap();
            raw.next_of(&[HEADERS]).await.unwrap();
        }
        held.push(raw);
    }
    let reset = held[0].next_of(&[crate::support::http2::RST_STREAM]).await.unwrap();
    assert_eq!(reset.code(), 8);
}

#[both]
async fn lists_that_are_asked_for_at_once_wait_for_each_other_and_are_all_answered(t: Arc<Test>) {
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let api = t.admin();
        calls.spawn(async move {
            api.users().list_users(pb::ListUsersRequest { page_size: 1000, ..Default::default() }).await.map(drop)
        });
    }
    for answered in calls.join_all().await {
        answered.unwrap();
    }
}

#[both]
async fn w7_a_peer_has_few_watches_and_they_take_nothing_from_reflection(t: Arc<Test>) {
    let mut health = HealthClient::new(t.anonymous().channel);
    let mut watches = Vec::new();
    for _ in 0..16 {
        watches.push(health.watch(HealthCheckRequest::default()).await.unwrap());
    }
    refused(health.watch(HealthCheckRequest::default()).await, ErrorReason::StreamLimitReached);
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(t.anonymous().channel);
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.answered();
    assert!(answers.message().await.unwrap().is_some());
    // A place is released.
    watches.pop();
    while health.watch(HealthCheckRequest::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[both(options = ["--public-stream-age", "300ms"])]
async fn w7_a_stream_without_a_credential_ends_at_an_age(t: Arc<Test>) {
    let mut health = HealthClient::new(t.anonymous().channel);
    let mut watch = health.watch(HealthCheckRequest::default()).await.answered();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let ended = watch.message().await.unwrap_err();
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::Unavailable, "UNAVAILABLE"));
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(t.anonymous().channel);
    let mut answers = reflection.server_reflection_info(tokio_stream::pending()).await.answered();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
}
