//! What carries the calls, seen from the wire.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use tenantry::pb::{self, ErrorReason};
use tonic::{Code, Status};

use crate::support::{Test, both, held::Held, refusal::reason_of, refused};

/// A connection of HTTP/2.
#[derive(Clone)]
struct Connection {
    requests: SendRequest<Bytes>,
    key: String,
}

impl Connection {
    async fn open(t: &Test) -> Self {
        let stream = tokio::net::TcpStream::connect(t.address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { requests, key: t.admin_key.clone() }
    }

    /// Begins a call: it is sent when this returns.
    async fn begin(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> ResponseFuture {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let mut request = http::Request::post(format!("http://test{path}"))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, mut body) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut frame).unwrap();
        body.send_data(frame.freeze(), true).unwrap();
        response
    }

    /// Calls, and tells how the call ended.
    async fn call(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Result<(), Status> {
        ended(self.begin(path, headers, message).await).await
    }
}

/// How a call ended.
async fn ended(response: ResponseFuture) -> Result<(), Status> {
    let (head, mut body) = response.await.unwrap().into_parts();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    match Status::from_header_map(&trailers).unwrap() {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

const CREATE_USER: &str = "/tenantry.v1.UserService/CreateUser";
const LIST_USERS: &str = "/tenantry.v1.UserService/ListUsers";
const GET_USER: &str = "/tenantry.v1.UserService/GetUser";

fn new_user() -> pb::CreateUserRequest {
    pb::CreateUserRequest { email: "new@example.com".to_owned(), name: "New".to_owned(), ..Default::default() }
}

both! {
    async fn a_connection_takes_as_many_calls_at_once_as_is_told(t) {
        let connection = Connection::open(&t).await;
        connection.call(LIST_USERS, &[], &pb::ListUsersRequest::default()).await.unwrap();
        assert_eq!(connection.requests.current_max_send_streams(), 128);
    }

    async fn a_client_that_waits_no_time_is_told_that_it_is_over_and_nothing_is_done(t) {
        let connection = Connection::open(&t).await;
        refused(connection.call(CREATE_USER, &[("grpc-timeout", "0n")], &new_user()).await, ErrorReason::DeadlineExceeded);
        connection.call(CREATE_USER, &[], &new_user()).await.unwrap();
    }

    async fn a_timeout_that_is_none_leaves_the_servers_own(t) {
        let connection = Connection::open(&t).await;
        for timeout in ["-1S", "123456789n", "1", "soon"] {
            connection.call(LIST_USERS, &[("grpc-timeout", timeout)], &pb::ListUsersRequest::default()).await.unwrap();
        }
    }

    with ["--database-timeout", "1m", "--request-timeout", "1m"] async fn a_call_ends_when_its_client_waits_no_longer(t) {
        let held = Held::by_another_process(&t).await;
        let connection = Connection::open(&t).await;
        refused(connection.call(CREATE_USER, &[("grpc-timeout", "100m")], &new_user()).await, ErrorReason::DeadlineExceeded);
        held.release().await;
        connection.call(CREATE_USER, &[], &new_user()).await.unwrap();
    }

    with ["--database-timeout", "1m", "--request-timeout", "1m"] async fn a_call_that_waits_holds_up_no_other_of_its_connection(t) {
        let ada = t.user("ada").await;
        let held = Held::by_another_process(&t).await;
        let connection = Connection::open(&t).await;
        let waiting = connection.begin(CREATE_USER, &[], &new_user()).await;
        connection.call(GET_USER, &[], &pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
        connection.call(LIST_USERS, &[], &pb::ListUsersRequest::default()).await.unwrap();
        held.release().await;
        ended(waiting).await.unwrap();
    }

    async fn calls_of_one_connection_that_come_at_once_are_each_answered(t) {
        let ada = t.user("ada").await;
        let connection = Connection::open(&t).await;
        let mut calls = Vec::new();
        for number in 0..100 {
            let user_id = if number % 2 == 0 { ada.id.clone() } else { uuid::Uuid::new_v4().to_string() };
            calls.push(connection.begin(GET_USER, &[], &pb::GetUserRequest { user_id }).await);
        }
        for (number, call) in calls.into_iter().enumerate() {
            let reason = ended(call).await.map_err(|status| reason_of(&status));
            let expected = if number % 2 == 0 { Ok(()) } else { Err("USER_NOT_FOUND".to_owned()) };
            assert_eq!(reason, expected, "{number}");
        }
    }
}
