//! `EventService.WatchEvents`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};
use tonic::Code;

use crate::support::{
    Test, both,
    follow::{Watch, list},
    refusal::reason_of,
    refused,
};

/// Reads up to the creation of the last user. Returns the user ids of the events on the way.
async fn read_to(watch: &mut Watch, last: &pb::User) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let event = watch.event().await;
        ids.push(event.user_id.clone());
        if event.user_id == last.id {
            return ids;
        }
    }
}

async fn users(t: &Test, count: usize) -> Vec<pb::User> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(t.user("ada").await);
    }
    users
}

fn ids(users: &[pb::User]) -> Vec<String> {
    users.iter().map(|user| user.id.clone()).collect()
}

#[both]
async fn new_events_are_streamed_in_order(t: Arc<Test>) {
    users(&t, 3).await;
    let mut watch = Watch::from_now(&t.admin()).await;
    let created = users(&t, 20).await;
    assert_eq!(read_to(&mut watch, created.last().unwrap()).await, ids(&created));
    let listed = list(&t.admin(), pb::ListEventsRequest::default()).await;
    assert!(listed.windows(2).all(|pair| pair[0].sequence > pair[1].sequence));
}

#[both]
async fn a_resumed_watch_tells_the_rest_and_nothing_twice(t: Arc<Test>) {
    let mut watch = Watch::from_now(&t.admin()).await;
    let created = users(&t, 30).await;
    let mut reported = Vec::new();
    // As if the connection broke after every third event.
    while reported.len() < created.len() {
        reported.push(watch.event().await.user_id);
        if reported.len() % 3 == 0 {
            watch = Watch::resume(&t.admin(), &watch.cursor).await;
        }
    }
    assert_eq!(reported, ids(&created));
}

#[both(options = ["--watch-heartbeat", "50ms"])]
async fn a_heartbeat_carries_a_good_cursor_though_nothing_matches(t: Arc<Test>) {
    let request =
        || pb::WatchEventsRequest { resource_types: vec![pb::ResourceType::OauthAccount.into()], ..Default::default() };
    let mut watch = Watch::open(&t.admin(), request()).await.unwrap();
    let first = watch.cursor.clone();
    let created = users(&t, 5).await;
    // Heartbeats advance the cursor past skipped events.
    while watch.cursor == first {
        assert_eq!(watch.message().await.unwrap(), None);
    }
    let account = t.oauth_account(&created[0]).await;
    let event = watch.event().await;
    assert_eq!((event.action.as_str(), &event.resource_id), ("oauth_account.linked", &account.id));
    let resumed = pb::WatchEventsRequest { cursor: first, ..request() };
    let mut again = Watch::open(&t.admin(), resumed).await.unwrap();
    assert_eq!(again.event().await, event);
}

#[both]
async fn filters_hold(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    let start = Watch::from_now(&t.admin()).await.cursor;
    let bob = t.user("bob").await;
    t.member(&bob, &other, "member").await;
    t.member(&bob, &acme, "member").await;
    t.suspend(&bob).await;
    let watch = async |request| {
        let request = pb::WatchEventsRequest { cursor: start.clone(), ..request };
        Watch::open(&t.admin(), request).await.unwrap()
    };
    let mut of_acme = watch(pb::WatchEventsRequest { organization_id: acme.id.clone(), ..Default::default() }).await;
    let event = of_acme.event().await;
    assert_eq!((event.action.as_str(), &event.organization_id), ("membership.created", &acme.id));
    let mut suspensions =
        watch(pb::WatchEventsRequest { actions: vec!["user.suspended".to_owned()], ..Default::default() }).await;
    assert_eq!(suspensions.event().await.user_id, bob.id);
}

#[both]
async fn a_tenant_follows_its_own_events_only(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    let key = t.organization_key(&acme).await;
    let mut watch = Watch::from_now(&t.with_key(&key)).await;
    let bob = t.user("bob").await;
    t.member(&bob, &other, "member").await;
    t.member(&eve, &acme, "member").await;
    let event = watch.event().await;
    assert_eq!((&event.organization_id, &event.user_id), (&acme.id, &eve.id));
    let foreign = pb::WatchEventsRequest { organization_id: other.id, ..Default::default() };
    refused(t.with_key(&key).events().watch_events(foreign).await, ErrorReason::OrganizationNotFound);
}

#[both(options = ["--watch-heartbeat", "50ms"])]
async fn a_watch_ends_with_the_right_to_see_it(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let of_acme = pb::WatchEventsRequest { organization_id: acme.id.clone(), ..Default::default() };

    // The key is revoked.
    let (key, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let mut watch = Watch::from_now(&t.with_key(&text)).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    assert_eq!(reason_of(&watch.end().await), "UNAUTHENTICATED");

    // The user is no longer an admin of the organization.
    let membership = t.member(&bob, &acme, "admin").await;
    let mut watch = Watch::open(&t.with_key(&t.user_key(&bob).await), of_acme).await.unwrap();
    let leave = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
    t.admin().memberships().delete_membership(leave).await.unwrap();
    assert_eq!(reason_of(&watch.end().await), "ORGANIZATION_NOT_FOUND");

    // The user is no longer a platform admin.
    let grant = pb::GrantPlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let mut watch = Watch::from_now(&t.with_key(&t.user_key(&bob).await)).await;
    let revoke = pb::RevokePlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().revoke_platform_admin(revoke).await.unwrap();
    assert_eq!(reason_of(&watch.end().await), "PLATFORM_ADMIN_REQUIRED");
    assert_eq!(t.user("eve").await.name, "eve");
}

#[both]
async fn a_cursor_that_was_not_reported_is_refused(t: Arc<Test>) {
    for cursor in ["x", "AAAA", &"A".repeat(5000), "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let request =
            pb::WatchEventsRequest { cursor: cursor.to_owned(), resource_types: vec![99], ..Default::default() };
        let status = refused(t.admin().events().watch_events(request).await, ErrorReason::InvalidArgument);
        assert_eq!(crate::support::refusal::fields(&status), ["resource_types[0]", "cursor"]);
    }
}

#[both]
async fn a_server_that_stops_tells_its_watchers_to_resume(t: Arc<Test>) {
    let mut watch = Watch::from_now(&t.admin()).await;
    let server = t.server.lock().await.take().unwrap();
    let (status, ()) = tokio::join!(watch.end(), async { server.stop().await.unwrap() });
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "UNAVAILABLE"));
}

#[both]
async fn a_watch_from_a_time_tells_everything_since_and_nothing_before(t: Arc<Test>) {
    let before = users(&t, 3).await;
    t.advance(crate::support::DAY);
    let since = users(&t, 3).await;
    let from = |user: &pb::User| pb::WatchEventsRequest { start_time: user.created_at, ..Default::default() };
    let mut watch = Watch::open(&t.admin(), from(&since[0])).await.unwrap();
    assert_eq!(read_to(&mut watch, &since[2]).await, ids(&since));
    let mut watch = Watch::open(&t.admin(), from(&before[1])).await.unwrap();
    assert_eq!(read_to(&mut watch, &since[2]).await, ids(&[&before[1..], &since[..]].concat()));
    // Long before the first event that was ever stored.
    let start_time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
    let always = pb::WatchEventsRequest { start_time, ..Default::default() };
    let mut watch = Watch::open(&t.admin(), always.clone()).await.unwrap();
    let all = read_to(&mut watch, &since[2]).await;
    assert!(ids(&before).iter().all(|id| all.contains(id)));
    let both = pb::WatchEventsRequest { cursor: watch.cursor.clone(), ..always.clone() };
    refused(t.admin().events().watch_events(both).await, ErrorReason::InvalidArgument);
    // Once events have been deleted, the answer to a time before them would have a gap.
    t.database.execute("UPDATE cf_event_floor SET sequence = 2").await;
    let expired = Watch::open(&t.admin(), always).await.err().unwrap();
    assert_eq!(reason_of(&expired), "EVENT_CURSOR_EXPIRED");
}
