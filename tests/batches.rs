//! Batches: what holds for every method that changes many resources in one call.

use std::sync::Arc;

use prost_reflect::{MethodDescriptor, Value};
use tenantry::pb::{self, ErrorReason, UserState};
use uuid::Uuid;

use crate::{
    invitation, membership,
    support::{
        Answered as _, Test, both,
        database::TestDatabase,
        follow::list,
        given::unique,
        mask,
        random::Random,
        raw,
        refusal::{code, fields, name, reason_of},
        refused,
        request::{World, encode},
    },
    user::batch_suspend::{states, suspend_all},
};

/// Number of rounds of the race.
const ROUNDS: usize = 12;

/// The positions of the items of a batch.
pub fn ids(count: usize) -> Vec<i32> {
    (0..).take(count).collect()
}

fn batches() -> Vec<MethodDescriptor> {
    let batches: Vec<_> = raw::methods()
        .into_iter()
        .filter(|method| {
            let items = method.input().get_field_by_name("requests");
            items.is_some() && method.input().get_field_by_name("request_id").is_some()
        })
        .collect();
    assert_eq!(batches.len(), 6);
    batches
}

fn suspend(user: &pb::User) -> pb::SuspendUserRequest {
    pb::SuspendUserRequest { user_id: user.id.clone(), ..Default::default() }
}

async fn users(t: &Test, count: usize) -> Vec<pb::User> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(t.user("many").await);
    }
    users
}

#[test]
fn items_are_audited_as_denials_by_their_code() {
    for reason in (1..100).filter_map(|number| ErrorReason::try_from(number).ok()) {
        let is_denial = tenantry::grpc::status::is_denial(reason);
        assert_eq!(is_denial, code(reason) == tonic::Code::PermissionDenied, "{reason:?}");
    }
}

#[both]
async fn no_item_and_1001_items_are_refused_as_a_whole_and_1000_are_not(t: Arc<Test>) {
    let world = World::missing();
    let before = t.database.rows().await;
    for method in batches() {
        let request = world.request(&method);
        let item = request.get_field_by_name("requests").unwrap().as_list().unwrap()[0].clone();
        let call = async |count: usize| {
            let mut request = request.clone();
            request.set_field_by_name("requests", Value::List(vec![item.clone(); count]));
            raw::call(&t.anonymous(), &raw::path(&method), encode(&request), raw::bearer(&[&t.admin_key])).await
        };
        for count in [0, 1001] {
            let status = refused(call(count).await, ErrorReason::InvalidArgument);
            assert_eq!(fields(&status), ["requests"], "{}", method.full_name());
        }
        call(1000).await.unwrap();
    }
    assert_eq!(t.database.rows().await, before, "every item names something that is missing");
}

#[both]
async fn a_few_bytes_for_each_item_do_not_make_a_large_answer(t: Arc<Test>) {
    let item = pb::CreateMembershipRequest { permissions: vec![String::new(); 99], ..Default::default() };
    let request = pb::BatchCreateMembershipsRequest { requests: vec![item; 1000], ..Default::default() };
    let answer = t.admin().memberships().batch_create_memberships(request).await.answered();
    assert!(prost::Message::encoded_len(&answer) < 2 * 1024 * 1024);
    assert!(answer.results.iter().all(|result| {
        let Some(pb::batch_membership_result::Outcome::Error(error)) = &result.outcome else { return false };
        error.reason() == ErrorReason::InvalidArgument && error.field_violations.len() == 10
    }));
}

#[both(options = ["--max-members", "70"])]
async fn a_repeated_batch_of_several_parts_gets_the_same_bytes_and_changes_nothing_more(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let requests: Vec<_> =
        users(&t, 120).await.iter().map(|user| membership::batch_create::new(&user.id, &acme, "member")).collect();
    let request_id = Uuid::new_v4().to_string();
    let request = pb::BatchCreateMembershipsRequest { requests, request_id };
    let path = "/tenantry.v1.MembershipService/BatchCreateMemberships";
    let bytes = prost::Message::encode_to_vec(&request);
    let call = async || raw::call(&t.anonymous(), path, bytes.clone(), raw::bearer(&[&t.admin_key])).await.unwrap();
    let (first, same) = tokio::join!(call(), call());
    assert!(first == same, "two at once have one effect");
    let created: pb::BatchCreateMembershipsResponse = prost::Message::decode(first.as_slice()).unwrap();
    let reasons = membership::batch_create::reasons(&created.results);
    assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), 69);
    let (rows, events) = (t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await);
    for _ in 0..2 {
        assert!(call().await == first);
    }
    assert_eq!(t.database.rows().await, rows);
    assert_eq!(list(&t.admin(), pb::ListEventsRequest::default()).await, events);
    let of_batch: Vec<_> = events.iter().filter(|event| event.action == "membership.created").take(69).collect();
    assert!(of_batch.iter().all(|event| event.request_id == request.request_id), "each has the id of the request");
    let other = pb::BatchCreateMembershipsRequest { requests: request.requests[..1].to_vec(), ..request };
    refused(t.admin().memberships().batch_create_memberships(other).await, ErrorReason::RequestIdReused);
}

/// Makes the insert of every event about a user fail, or lets it succeed again.
async fn break_events_of(t: &Test, user: &pb::User, broken: bool) {
    let sql = match (&t.database, broken) {
        (TestDatabase::Sqlite(_), true) => format!(
            "CREATE TRIGGER fault BEFORE INSERT ON cf_events WHEN NEW.user_id = x'{}' BEGIN SELECT RAISE(ABORT, 'fault'); END;",
            user.id.replace('-', "")
        ),
        (TestDatabase::Postgres(_), true) => format!(
            "CREATE OR REPLACE FUNCTION fault() RETURNS trigger AS $$ BEGIN IF NEW.user_id = '{}' THEN RAISE EXCEPTION 'fault'; \
             END IF; RETURN NEW; END $$ LANGUAGE plpgsql; \
             CREATE TRIGGER fault BEFORE INSERT ON cf_events FOR EACH ROW EXECUTE FUNCTION fault();",
            user.id
        ),
        (TestDatabase::Sqlite(_), false) => "DROP TRIGGER fault;".to_owned(),
        (TestDatabase::Postgres(_), false) => "DROP TRIGGER fault ON cf_events;".to_owned(),
    };
    t.database.execute(&sql).await;
}

#[both]
async fn a_batch_that_breaks_off_is_continued_by_the_same_request(t: Arc<Test>) {
    let users = users(&t, 130).await;
    let request = pb::BatchSuspendUsersRequest {
        requests: users.iter().map(suspend).collect(),
        request_id: Uuid::new_v4().to_string(),
    };
    break_events_of(&t, &users[75], true).await;
    refused(t.admin().users().batch_suspend_users(request.clone()).await, ErrorReason::Unavailable);
    let suspended = async || {
        let request =
            pb::ListUsersRequest { state: UserState::Suspended.into(), page_size: 1000, ..Default::default() };
        t.admin().users().list_users(request).await.answered().users.len()
    };
    assert_eq!(suspended().await, 50, "whole parts, and no part of one");
    break_events_of(&t, &users[75], false).await;
    // What was done before the break is answered as it was, even if it has changed since.
    t.reactivate(&users[3]).await;
    let results = t.admin().users().batch_suspend_users(request).await.answered().results;
    assert_eq!(states(&results), vec![Ok(UserState::Suspended); 130]);
    assert_eq!(suspended().await, 129);
    let events = pb::ListEventsRequest { actions: vec!["user.suspended".to_owned()], ..Default::default() };
    assert_eq!(list(&t.admin(), events).await.len(), 130, "one for each");
}

#[both(options = ["--max-remembered", "3"])]
async fn a_batch_takes_room_among_the_remembered_requests_for_each_of_its_parts(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let new = || invitation::batch_create::new(&acme, &format!("{}@example.com", unique("bob")), "member");
    let request = invitation::batch_create::batch((0..101).map(|_| new()).collect());
    let api = t.with_key(&t.user_key(&ada).await);
    let first = api.invitations().batch_create_invitations(request.clone()).await.answered();
    let more = invitation::batch_create::batch(vec![new()]);
    refused(api.invitations().batch_create_invitations(more.clone()).await, ErrorReason::RequestMemoryFull);
    assert_eq!(api.invitations().batch_create_invitations(request).await.answered(), first);
    let unnamed = pb::BatchCreateInvitationsRequest { request_id: String::new(), ..more };
    let results = api.invitations().batch_create_invitations(unnamed).await.answered().results;
    assert_eq!(invitation::batch_create::reasons(&results), [None]);
}

/// An organization of the same people with the same roles, and their memberships.
async fn twin(t: &Test, people: &[pb::User]) -> Vec<pb::Membership> {
    let organization = t.organization(&people[0]).await;
    let mut memberships = vec![t.membership(&people[0].id, &organization.id).await.unwrap()];
    for (user, role) in people[1..].iter().zip(["admin", "owner", "member", "viewer", "admin"]) {
        memberships.push(t.member(user, &organization, role).await);
    }
    memberships
}

#[both]
async fn a_batch_does_what_its_items_do_one_by_one(t: Arc<Test>) {
    let people = users(&t, 6).await;
    let mut callers = vec![t.admin()];
    for user in &people[..5] {
        callers.push(t.with_key(&t.user_key(user).await));
    }
    let mut random = Random::seeded();
    for api in callers {
        let (of_batch, of_calls) = (twin(&t, &people).await, twin(&t, &people).await);
        let items: Vec<(usize, &str, &str)> = (0..60)
            .map(|_| {
                let role = random.one(&["owner", "admin", "member", "viewer", "nothing", "No Role"]);
                (random.below(people.len()), role, random.one(&["", "", "", "r1", "r2"]))
            })
            .collect();
        let request = |memberships: &[pb::Membership], (at, role, etag): (usize, &str, &str)| {
            let etag = etag.to_owned();
            pb::UpdateMembershipRequest { etag, ..membership::batch_update::role(&memberships[at].id, role) }
        };
        let batch = items.iter().map(|item| request(&of_batch, *item)).collect();
        let results = membership::batch_update::update(&api, batch).await;
        let reasons = membership::batch_create::reasons(&results);
        for (item, reason) in items.iter().zip(reasons) {
            let alone = api.memberships().update_membership(request(&of_calls, *item)).await;
            let alone = alone.err().map(|status| reason_of(&status));
            assert_eq!(reason.map(name), alone, "{item:?} of {items:?}");
        }
        for (one, other) in of_batch.iter().zip(&of_calls) {
            let now = async |membership: &pb::Membership| {
                let now = t.membership(&membership.user_id, &membership.organization_id).await.unwrap();
                (now.role, now.etag)
            };
            assert_eq!(now(one).await, now(other).await, "{items:?}");
        }
    }
}

/// Number of deadlocks in a database so far. The server must have stopped: PostgreSQL counts when a connection ends.
async fn deadlocks(t: &Test) -> usize {
    if matches!(t.database, TestDatabase::Sqlite(_)) {
        return 0;
    }
    let others =
        "SELECT 'x' AS value FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while !t.database.texts(others).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let found = "SELECT deadlocks::text AS value FROM pg_stat_database WHERE datname = current_database()";
    t.database.texts(found).await[0].parse().unwrap()
}

#[both]
async fn batches_in_opposite_orders_do_not_deadlock(t: Arc<Test>) {
    let people = users(&t, 6).await;
    let mut memberships = Vec::new();
    for owner in &people {
        let organization = t.organization(owner).await;
        for user in people.iter().filter(|user| user.id != owner.id) {
            memberships.push(t.member(user, &organization, "member").await.id);
        }
    }
    let update = |role: &'static str, ids: Vec<String>| {
        let api = t.admin();
        let requests = ids.iter().map(|id| membership::batch_update::role(id, role)).collect();
        async move { membership::batch_update::update(&api, requests).await }
    };
    for round in 0..ROUNDS {
        let role = if round % 2 == 0 { "viewer" } else { "admin" };
        let (forth, back) = (memberships.clone(), memberships.iter().rev().cloned().collect());
        let (mut last_first, email) = (people.clone(), format!("{}@example.com", unique("moved")));
        last_first.reverse();
        let rename = pb::UpdateUserRequest {
            user_id: people[round % people.len()].id.clone(),
            email,
            update_mask: mask(&["email"]),
            ..Default::default()
        };
        let mut api = t.admin().users();
        let (one, other, suspended, again, renamed) = tokio::join!(
            update(role, forth),
            update("member", back),
            suspend_all(&t, people.iter().map(suspend).collect()),
            suspend_all(&t, last_first.iter().map(suspend).collect()),
            api.update_user(rename),
        );
        renamed.unwrap();
        for results in [one, other] {
            assert!(membership::batch_create::reasons(&results).iter().all(Option::is_none), "round {round}");
        }
        for results in [suspended, again] {
            assert_eq!(states(&results), vec![Ok(UserState::Suspended); 6], "round {round}");
        }
        for user in &people {
            t.reactivate(user).await;
        }
    }
    t.server.lock().await.take().unwrap().stop().await.unwrap();
    assert_eq!(deadlocks(&t).await, 0);
}
