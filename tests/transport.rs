//! The transport, seen from the wire.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{
    Test, both,
    held::Held,
    http2::{Connection, ended},
    refusal::reason_of,
    refused,
};

const CREATE_USER: &str = "/tenantry.v1.UserService/CreateUser";
const LIST_USERS: &str = "/tenantry.v1.UserService/ListUsers";
const GET_USER: &str = "/tenantry.v1.UserService/GetUser";

fn new_user() -> pb::CreateUserRequest {
    pb::CreateUserRequest { email: "new@example.com".to_owned(), name: "New".to_owned(), ..Default::default() }
}

#[both]
async fn a_connection_takes_as_many_calls_at_once_as_is_reported(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    connection.call(LIST_USERS, &[], &pb::ListUsersRequest::default()).await.unwrap();
    assert_eq!(connection.requests.current_max_send_streams(), 128);
}

#[both]
async fn a_client_that_waits_no_time_is_reported_that_it_is_over_and_nothing_is_done(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    refused(connection.call(CREATE_USER, &[("grpc-timeout", "0n")], &new_user()).await, ErrorReason::DeadlineExceeded);
    connection.call(CREATE_USER, &[], &new_user()).await.unwrap();
}

#[both]
async fn a_malformed_timeout_leaves_the_servers_own(t: Arc<Test>) {
    let connection = Connection::open(&t).await;
    for timeout in ["-1S", "123456789n", "1", "soon"] {
        connection.call(LIST_USERS, &[("grpc-timeout", timeout)], &pb::ListUsersRequest::default()).await.unwrap();
    }
}

#[both(options = ["--database-timeout", "1m", "--request-timeout", "1m"])]
async fn a_call_ends_when_its_client_waits_no_longer(t: Arc<Test>) {
    let held = Held::by_another_process(&t).await;
    let connection = Connection::open(&t).await;
    refused(
        connection.call(CREATE_USER, &[("grpc-timeout", "100m")], &new_user()).await,
        ErrorReason::DeadlineExceeded,
    );
    held.release().await;
    connection.call(CREATE_USER, &[], &new_user()).await.unwrap();
}

#[both(options = ["--database-timeout", "1m", "--request-timeout", "1m"])]
async fn a_call_that_waits_holds_up_no_other_of_its_connection(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let held = Held::by_another_process(&t).await;
    let connection = Connection::open(&t).await;
    let waiting = connection.begin(CREATE_USER, &[], &new_user()).await;
    connection.call(GET_USER, &[], &pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    connection.call(LIST_USERS, &[], &pb::ListUsersRequest::default()).await.unwrap();
    held.release().await;
    ended(waiting).await.unwrap();
}

#[both]
async fn calls_of_one_connection_that_come_at_once_are_each_answered(t: Arc<Test>) {
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
