//! Input on the wire: broken clients, hostile clients, and limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tenantry::pb::{self, ErrorReason};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::support::{
    Answered as _, Test, both,
    given::unique,
    held::Held,
    http2::{Connection, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, framed, header},
    refusal::reason_of,
    refused,
};

const LIST_USERS: &str = "/tenantry.v1.UserService/ListUsers";
const CREATE_USER: &str = "/tenantry.v1.UserService/CreateUser";

fn list() -> Vec<u8> {
    framed(&pb::ListUsersRequest::default())
}

/// The reason in a gRPC answer, or the HTTP status.
fn reason(answer: Result<(u16, Option<Status>), h2::Error>) -> String {
    match answer {
        Ok((200, Some(status))) if status.code() == Code::Ok => "OK".to_owned(),
        Ok((200, Some(status))) => reason_of(&status),
        Ok((http, _)) => format!("HTTP {http}"),
        Err(error) => format!("reset {:?}", error.reason()),
    }
}

async fn sent(connection: &Connection, path: &str, body: &[u8]) -> String {
    reason(connection.send(connection.request(path).body(()).unwrap(), body).await)
}

#[both]
async fn a_path_of_no_method_is_unknown(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    assert_eq!(sent(&connection, LIST_USERS, &list()).await, "OK");
    for path in [
        "//tenantry.v1.UserService/ListUsers",
        "/tenantry.v1.UserService/ListUsers/",
        "/tenantry.v1.UserService/%4cistUsers",
        "/tenantry.v1.userservice/listusers",
        "/x/../tenantry.v1.UserService/ListUsers",
        "/tenantry.v1.UserService/Nothing",
        "/nobody.Service/ListUsers",
        "/tenantry.v1.UserService/ListUsers?x=1",
        "/",
    ] {
        assert_eq!(sent(&connection, path, &list()).await, "METHOD_UNKNOWN", "{path}");
    }
}

#[both]
async fn requests_other_than_grpc_are_refused_as_http(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let with = |method: &str, types: &[&str]| {
        let mut request = http::Request::builder().method(method).uri(format!("http://test{LIST_USERS}"));
        for value in types {
            request = request.header("content-type", *value);
        }
        request.header("authorization", format!("Bearer {}", t.admin_key)).body(()).unwrap()
    };
    for (method, types, expected) in [
        ("GET", &["application/grpc"][..], "HTTP 405"),
        ("PUT", &["application/grpc"], "HTTP 405"),
        ("DELETE", &["application/grpc"], "HTTP 405"),
        ("POST", &["application/json"], "HTTP 415"),
        ("POST", &["application/grpc-web+proto"], "HTTP 415"),
        ("POST", &["application/grpc", "application/grpc"], "HTTP 415"),
        ("POST", &["application/grpc", "text/plain"], "HTTP 415"),
        ("POST", &[], "HTTP 415"),
        // `te: trailers` is not required, since a proxy may drop it.
        ("POST", &["application/grpc"], "OK"),
        ("POST", &["application/grpc+proto"], "OK"),
    ] {
        assert_eq!(reason(connection.send(with(method, types), &list()).await), expected, "{method} {types:?}");
    }
}

#[both]
async fn a_body_that_is_no_message_is_malformed_and_one_that_is_too_large_takes_nothing(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    for (body, expected) in [
        (&b""[..], "REQUEST_MALFORMED"),
        (b"\0", "REQUEST_MALFORMED"),
        (b"\0\0\0\0\x09x", "REQUEST_MALFORMED"),
        // An endless varint, and invalid UTF-8.
        (b"\0\0\0\0\x04\x08\xff\xff\xff", "REQUEST_MALFORMED"),
        (b"\0\0\0\0\x03\x12\x01\xff", "REQUEST_MALFORMED"),
        // An invalid compression flag, and compression without a named encoding.
        (b"\x02\0\0\0\0", "REQUEST_MALFORMED"),
        (b"\x01\0\0\0\0", "REQUEST_MALFORMED"),
        (b"\0\xff\xff\xff\xff", "REQUEST_TOO_LARGE"),
        (b"\0\0\x04\0\x01", "REQUEST_TOO_LARGE"),
    ] {
        assert_eq!(sent(&connection, LIST_USERS, body).await, expected, "{body:?}");
    }
    // Bytes after the only message of a unary call are ignored.
    let twice = [list(), list()].concat();
    assert_eq!(sent(&connection, LIST_USERS, &twice).await, "OK");
    let answer = connection.send(connection.request(LIST_USERS).body(()).unwrap(), b"\0\0\0\0\x03\x12\x01\xff").await;
    let text = answer.unwrap().1.unwrap().message().to_owned();
    assert!(!text.contains("page") && !text.contains("utf") && !text.contains("UTF"), "{text}");
}

#[both]
async fn a_message_of_a_stream_is_held_to_the_same(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    for path in ["/tenantry.v1.ApiKeyService/VerifyStream", "/tenantry.v1.UserService/ImportUsers"] {
        assert_eq!(sent(&connection, path, b"\0\0\x04\0\x01").await, "REQUEST_TOO_LARGE", "{path}");
        assert_eq!(sent(&connection, path, b"\0\0\0\0\x04\x0a\xff\xff\xff").await, "REQUEST_MALFORMED", "{path}");
    }
}

#[both]
async fn a_compression_that_is_not_offered_is_unimplemented(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    for encoding in ["gzip", "snappy"] {
        let request = connection.request(LIST_USERS).header("grpc-encoding", encoding).body(()).unwrap();
        let (_, status) = connection.send(request, b"\x01\0\0\0\0").await.unwrap();
        assert_eq!(status.unwrap().code(), Code::Unimplemented, "{encoding}");
    }
}

#[both]
async fn r41_two_credentials_are_unauthenticated(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let both =
        connection.request(LIST_USERS).header("authorization", format!("Bearer {}", t.admin_key)).body(()).unwrap();
    assert_eq!(reason(connection.send(both, &list()).await), "UNAUTHENTICATED");
    let joined = Connection { key: format!("{0}, Bearer {0}", t.admin_key), ..connection.clone() };
    assert_eq!(sent(&joined, LIST_USERS, &list()).await, "UNAUTHENTICATED");
}

#[both]
async fn r42_an_address_that_metadata_claims_changes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let connection = Connection { key, ..Connection::open(&t).await };
    for claimed in ["a", "127.0.0.1", "198.51.100.1, 127.0.0.1"] {
        let request = connection.request("/tenantry.v1.UserService/GetUser").header("x-forwarded-for", claimed);
        let request = request.header("x-user-id", "01900000-0000-7000-8000-000000000000").body(()).unwrap();
        let body = framed(&pb::GetUserRequest { user_id: ada.id.clone() });
        assert_eq!(reason(connection.send(request, &body).await), "OK", "{claimed}");
    }
}

#[both]
async fn malformed_binary_metadata_is_ignored(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let request = connection.request(LIST_USERS).header("x-some-bin", "!!!").body(()).unwrap();
    assert_eq!(reason(connection.send(request, &list()).await), "OK");
}

#[both]
async fn headers_beyond_the_limit_are_refused_and_far_beyond_it_the_connection_ends(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let of = |bytes: usize| connection.request(LIST_USERS).header("x-large", "x".repeat(bytes)).body(()).unwrap();
    assert_eq!(reason(connection.send(of(12 * 1024), &list()).await), "OK");
    assert_eq!(reason(connection.send(of(20 * 1024), &list()).await), "HTTP 431");
    // An endless header block, which no client library would send.
    let mut raw = Raw::open(t.address, &[]).await;
    let block = crate::support::http2::call_headers(LIST_USERS, &[]);
    raw.send(HEADERS, 0, 1, &block).await.unwrap();
    let more = header("x-more", &"x".repeat(8000));
    for _ in 0..1000 {
        if raw.send(crate::support::http2::CONTINUATION, 0, 1, &more).await.is_err() {
            break;
        }
    }
    raw.closed().await;
}

#[both]
async fn protocol_violations_reset_the_stream_or_end_the_connection(t: Arc<Test>) {
    // A path without a slash.
    let mut raw = Raw::open(t.address, &[]).await;
    raw.call(1, "tenantry.v1.UserService/ListUsers", &[], END_STREAM).await.unwrap();
    let reset = raw.next_of(&[RST_STREAM, HEADERS]).await.unwrap();
    assert_eq!((reset.kind, reset.code()), (RST_STREAM, 1));
    // A wrong content length, and a hop-by-hop header.
    let bearer = format!("Bearer {}", t.admin_key);
    for wrong in [("content-length", "3"), ("transfer-encoding", "chunked"), ("connection", "close")] {
        let mut raw = Raw::open(t.address, &[]).await;
        raw.call(1, LIST_USERS, &[wrong, ("authorization", &bearer)], 0).await.unwrap();
        raw.send(DATA, END_STREAM, 1, &list()).await.unwrap();
        let reset = raw.next_of(&[RST_STREAM, HEADERS]).await.unwrap();
        assert_eq!((reset.kind, reset.code()), (RST_STREAM, 1), "{wrong:?}");
    }
    // A header name in capitals.
    let mut raw = Raw::open(t.address, &[]).await;
    raw.call(1, LIST_USERS, &[("X-Upper", "1")], END_STREAM).await.unwrap();
    let end = raw.next_of(&[RST_STREAM, GOAWAY, HEADERS]).await.unwrap();
    assert!(end.kind != HEADERS && end.code() == 1, "{end:?}");
}

#[both]
async fn r71_the_limits_of_a_connection_are_reported(t: Arc<Test>) {
    let mut raw = Raw::open(t.address, &[]).await;
    let settings = raw.next_of(&[SETTINGS]).await.unwrap();
    let reported: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes(pair[2..].try_into().unwrap())))
        .collect();
    assert!(reported.contains(&(3, 128)), "concurrent streams: {reported:?}");
    assert!(reported.contains(&(6, 16 * 1024)), "header list: {reported:?}");
    assert!(reported.iter().all(|(name, value)| *name != 5 || *value == 16 * 1024), "frame: {reported:?}");
}

#[both(options = ["--handshake-timeout", "200ms"])]
async fn silent_and_slow_connections_are_closed(t: Arc<Test>) {
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /"] {
        let mut stream = TcpStream::connect(t.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let begun = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{said:?}");
    }
    // A connection whose preface came in time continues.
    let connection = Connection::open(&t).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(sent(&connection, LIST_USERS, &list()).await, "OK");
}

#[both(options = ["--keepalive-interval", "200ms", "--keepalive-timeout", "200ms"])]
async fn a_client_that_answers_no_ping_is_sent_away(t: Arc<Test>) {
    let mut dead = Raw::open(t.address, &[]).await;
    assert_eq!(dead.next_of(&[PING]).await.unwrap().payload.len(), 8);
    dead.closed().await;
    let connection = Connection::open(&t).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sent(&connection, LIST_USERS, &list()).await, "OK");
}

#[both(options = ["--request-timeout", "300ms"])]
async fn a_stream_without_a_body_ends_at_the_timeout(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    let mut requests = connection.requests.clone().ready().await.unwrap();
    let (response, _body) = requests.send_request(connection.request(LIST_USERS).body(()).unwrap(), false).unwrap();
    let head = response.await.unwrap();
    let status = Status::from_header_map(head.headers()).unwrap();
    assert_eq!(reason_of(&status), "DEADLINE_EXCEEDED");
}

#[both(options = ["--connection-age", "300ms"])]
async fn an_old_connection_is_closed_after_its_calls_are_answered(t: Arc<Test>) {
    let held = Held::by_another_process(&t).await;
    let connection = Connection::open(&t).await;
    let new = pb::CreateUserRequest {
        email: format!("{}@example.com", unique("new")),
        name: "New".to_owned(),
        ..Default::default()
    };
    let waiting = connection.begin(CREATE_USER, &[], &new).await;
    // New calls are refused once the client has received the GOAWAY.
    while connection.requests.clone().ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    held.release().await;
    crate::support::http2::ended(waiting).await.unwrap();
    let mut raw = Raw::open(t.address, &[]).await;
    let goaway = raw.next_of(&[GOAWAY]).await.unwrap();
    assert_eq!(goaway.code(), 0);
    raw.closed().await;
}

#[both(options = ["--connection-age", "100ms", "--connection-grace", "300ms", "--send-timeout", "1h"])]
async fn connections_that_stay_open_are_closed_by_force(t: Arc<Test>) {
    let mut raw = Raw::open(t.address, &[]).await;
    let bearer = format!("Bearer {}", t.admin_key);
    raw.call(1, "/tenantry.v1.EventService/WatchEvents", &[("authorization", &bearer)], 0).await.unwrap();
    raw.send(DATA, END_STREAM, 1, &framed(&pb::WatchEventsRequest::default())).await.unwrap();
    raw.next_of(&[GOAWAY]).await.unwrap();
    // It answers pings, so that only the age of the connection counts against it.
    while let Some(frame) = raw.next().await {
        if frame.kind == PING && frame.flags == 0 && raw.send(PING, 1, 0, &frame.payload).await.is_err() {
            break;
        }
    }
}

#[both(options = ["--send-timeout", "200ms"])]
async fn f23_an_answer_that_its_client_does_not_take_is_given_up(t: Arc<Test>) {
    // A client with a zero window.
    let mut raw = Raw::open(t.address, &[(4, 0)]).await;
    let bearer = format!("Bearer {}", t.admin_key);
    raw.call(1, LIST_USERS, &[("authorization", &bearer)], 0).await.unwrap();
    raw.send(DATA, END_STREAM, 1, &list()).await.unwrap();
    let reset = raw.next_of(&[RST_STREAM]).await.unwrap();
    assert_eq!((reset.stream, reset.code()), (1, 8));
    // Other clients are not held up.
    let connection = Connection::open(&t).await;
    assert_eq!(sent(&connection, LIST_USERS, &list()).await, "OK");
}

#[both(options = ["--max-connections", "6", "--max-connections-per-peer", "4"])]
async fn a_peer_has_so_many_connections_and_no_more(t: Arc<Test>) {
    let first = Connection::open(&t).await;
    assert_eq!(sent(&first, LIST_USERS, &list()).await, "OK");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Connection::open(&t).await);
    }
    let mut beyond = TcpStream::connect(t.address).await.unwrap();
    assert_eq!(beyond.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection is closed at once");
    drop(others);
    // Places are released.
    loop {
        let stream = TcpStream::connect(t.address).await.unwrap();
        let Ok((requests, connection)) = h2::client::handshake(stream).await else { continue };
        tokio::spawn(connection);
        let connection = Connection { requests, key: t.admin_key.clone() };
        if connection.send(connection.request(LIST_USERS).body(()).unwrap(), &list()).await.is_ok() {
            break;
        }
    }
}

#[both(options = ["--max-local-resets", "10", "--max-pending-resets", "10"])]
async fn a_client_that_resets_its_calls_is_disconnected(t: Arc<Test>) {
    let mut raw = Raw::open(t.address, &[]).await;
    let mut stream = 1;
    // Sent at once, so that no call has started before its reset.
    let mut flood = Vec::new();
    for _ in 0..1000 {
        let block = crate::support::http2::call_headers(LIST_USERS, &[]);
        flood.extend(crate::support::http2::frame(HEADERS, crate::support::http2::END_HEADERS, stream, &block));
        flood.extend(crate::support::http2::frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        stream += 2;
    }
    let _ = raw.0.write_all(&flood).await;
    let goaway = raw.next_of(&[GOAWAY]).await;
    assert!(goaway.is_none_or(|frame| frame.code() == 11), "the code is ENHANCE_YOUR_CALM");
    raw.closed().await;
}

#[both(options = ["--rate-limit", "10"])]
async fn a_credential_that_calls_too_often_is_refused_and_no_other(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (one, other) = (t.user_key(&ada).await, t.user_key(&bob).await);
    let get = async |key: &str, user: &pb::User| {
        t.with_key(key).users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await
    };
    // Even on a slow machine some of these calls come too soon.
    let status = loop {
        let call = || {
            let (api, request) = (t.with_key(&one), pb::GetUserRequest { user_id: ada.id.clone() });
            tokio::spawn(async move { api.users().get_user(request).await })
        };
        let calls: Vec<_> = (0..64).map(|_| call()).collect();
        let mut refusals = Vec::new();
        for call in calls {
            refusals.extend(call.await.unwrap().err());
        }
        if let Some(refused) = refusals.pop() {
            break refused;
        }
    };
    let status = refused(Err::<(), _>(status), ErrorReason::RateLimited);
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() <= Duration::from_secs(1));
    assert_eq!(status.get_details_error_info().unwrap().metadata["calls_per_second"], "10");
    get(&other, &bob).await.unwrap();
}

#[both]
async fn how_often_a_key_calls_is_said_by_platform_admins_and_inherited(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let new = |rate_limit| pb::CreateApiKeyRequest {
        owner: Some(pb::create_api_key_request::Owner::UserId(ada.id.clone())),
        name: "Key".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        rate_limit,
        ..Default::default()
    };
    let admin = t.admin();
    let created = admin.api_keys().create_api_key(new(500)).await.answered();
    let own = t.with_key(&created.plaintext_key);
    refused(own.api_keys().create_api_key(new(1000)).await, ErrorReason::PlatformAdminRequired);
    let child = own.api_keys().create_api_key(new(0)).await.answered().api_key.unwrap();
    assert_eq!(child.rate_limit, 500);
    let update = |rate_limit| pb::UpdateApiKeyRequest {
        api_key_id: child.id.clone(),
        rate_limit,
        update_mask: crate::support::mask(&["rate_limit"]),
        ..Default::default()
    };
    refused(own.api_keys().update_api_key(update(0)).await, ErrorReason::PlatformAdminRequired);
    refused(admin.api_keys().update_api_key(update(1_000_001)).await, ErrorReason::InvalidArgument);
    let updated = admin.api_keys().update_api_key(update(7)).await.answered();
    assert_eq!(updated.api_key.unwrap().rate_limit, 7);
}

#[both]
async fn its_health_tells_each_service_and_that_it_stops(t: Arc<Test>) {
    let mut health = HealthClient::new(t.anonymous().channel);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "liveness", "tenantry.v1.UserService", "tenantry.v1.AuthenticationService"] {
        let answer = health.check(ask(service)).await.answered();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let mut unknown = health.watch(ask("nobody.Service")).await.answered();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    drop(unknown);
    let mut watch = health.watch(ask("")).await.answered();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let server = t.server.lock().await.take().unwrap();
    let stopped = tokio::spawn(server.stop());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    stopped.await.unwrap().unwrap();
}
