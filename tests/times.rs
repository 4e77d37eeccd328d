//! Times have a resolution that every client keeps, and ranges are compared with exactly what was sent.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use prost_types::Timestamp;
use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::{
    events::ready,
    support::{Answered as _, Test, both, follow::list, raw, refused, time_in},
};

/// Asserts that all times in a message are whole milliseconds. Returns how many there are.
fn times(message: &DynamicMessage, method: &str) -> usize {
    if message.descriptor().full_name() == "google.protobuf.Timestamp" {
        let nanos = message.get_field_by_name("nanos").unwrap().as_i32().unwrap();
        assert_eq!(nanos % 1_000_000, 0, "{method}");
        return 1;
    }
    let of = |value: &Value| value.as_message().map_or(0, |message| times(message, method));
    let of_all = |value: &Value| value.as_list().map_or_else(|| of(value), |items| items.iter().map(of).sum());
    message.fields().map(|(_, value)| of_all(value)).sum()
}

#[both]
async fn every_time_in_every_answer_is_whole_milliseconds(t: Arc<Test>) {
    let mut found = 0;
    for method in raw::methods() {
        let (_, request) = ready(&t, &method).await;
        let key = t.admin_key_for(&method).await;
        let answer = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[&key])).await;
        let Ok(answer) = answer else { continue };
        found += times(&DynamicMessage::decode(method.output(), answer.as_slice()).unwrap(), method.full_name());
    }
    assert!(found > 100, "{found}");
}

/// What a client sends that keeps only milliseconds.
fn truncated(time: Timestamp) -> Timestamp {
    Timestamp { nanos: time.nanos / 1_000_000 * 1_000_000, ..time }
}

/// One nanosecond later.
fn later(time: Timestamp) -> Timestamp {
    Timestamp { nanos: time.nanos + 1, ..time }
}

#[both]
async fn a_time_that_was_read_is_a_bound_at_every_resolution(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let created_at = ada.created_at.unwrap();
    let users = async |from: Option<Timestamp>, before: Option<Timestamp>| {
        let request = pb::ListUsersRequest { created_from: from, created_before: before, ..Default::default() };
        let users = t.admin().users().list_users(request).await.answered().users;
        users.iter().any(|user| user.id == ada.id)
    };
    for exact in [created_at, truncated(created_at)] {
        assert!(users(Some(exact), None).await && !users(None, Some(exact)).await);
        assert!(!users(Some(later(exact)), None).await && users(None, Some(later(exact))).await);
    }
    let of_ada = pb::ListEventsRequest { resource_id: ada.id.clone(), ..Default::default() };
    let event = list(&t.admin(), of_ada.clone()).await.pop().unwrap().created_at.unwrap();
    let events = async |from: Option<Timestamp>, before: Option<Timestamp>| {
        let request = pb::ListEventsRequest { created_from: from, created_before: before, ..of_ada.clone() };
        !list(&t.admin(), request).await.is_empty()
    };
    for exact in [event, truncated(event)] {
        assert!(events(Some(exact), None).await && !events(None, Some(exact)).await);
        assert!(!events(Some(later(exact)), None).await && events(None, Some(later(exact))).await);
    }
}

#[both]
async fn a_key_can_give_the_end_that_its_owner_reads(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let ends = Timestamp { nanos: 123_999_999, ..time_in(&t, 3600).unwrap() };
    let request = |expires_at: Timestamp| pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(ada.id.clone())),
        name: "key".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        expires_at: Some(expires_at),
        ..Default::default()
    };
    let created = t.admin().api_keys().create_api_key(request(ends)).await.answered();
    let stored = created.api_key.unwrap().expires_at.unwrap();
    assert_eq!(stored, Timestamp { nanos: 123_000_000, ..ends });
    let mut keys = t.with_key(&created.plaintext_key).api_keys();
    for given in [stored, truncated(stored), Timestamp { nanos: stored.nanos + 999_999, ..stored }] {
        let given = keys.create_api_key(request(given)).await.answered().api_key.unwrap();
        assert_eq!(given.expires_at, Some(stored));
    }
    let beyond = Timestamp { nanos: stored.nanos + 1_000_000, ..stored };
    refused(keys.create_api_key(request(beyond)).await, ErrorReason::ExpiryNotHeld);
}
