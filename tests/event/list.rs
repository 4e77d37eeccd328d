//! `EventService.ListEvents`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{
    Answered as _, MISSING_ID, Test, both,
    follow::{actions, list},
    mask, refused, time_in,
};

#[both]
async fn an_event_tells_who_did_what_and_what_changed(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let mut request = tonic::Request::new(pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        name: "Ada Lovelace".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    });
    request.metadata_mut().insert("x-event-ticket", "ABC-1".parse().unwrap());
    request.metadata_mut().insert("x-request-id", "call-7".parse().unwrap());
    let updated = t.with_key(&key).users().update_user(request).await.answered().user.unwrap();

    let events = list(&t.admin(), pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() }).await;
    assert_eq!(actions(&events), ["user.updated", "api_key.created", "user.created"]);
    let event = &events[0];
    let actor = event.actor.as_ref().unwrap();
    assert_eq!((actor.kind(), &actor.user_id, actor.call_id.as_str()), (pb::ActorKind::User, &ada.id, "call-7"));
    assert_eq!((actor.ip_address.as_str(), actor.api_key_id.len()), ("127.0.0.1", 36));
    assert_eq!((event.resource_type(), &event.resource_id, event.revision), (pb::ResourceType::User, &ada.id, 2));
    assert_eq!(event.resource, Some(pb::event::Resource::User(updated)));
    assert_eq!(event.method, "tenantry.v1.UserService.UpdateUser");
    assert_eq!(event.metadata["ticket"], "ABC-1");
    let text = |value: &Option<prost_types::Value>| match value.clone().unwrap().kind.unwrap() {
        prost_types::value::Kind::StringValue(text) => text,
        prost_types::value::Kind::NullValue(_) => "null".to_owned(),
        other => format!("{other:?}"),
    };
    let changed: Vec<_> = event.changes.iter().map(|c| (c.field.as_str(), text(&c.before), text(&c.after))).collect();
    assert_eq!(changed, [("name", "ada".to_owned(), "Ada Lovelace".to_owned())]);
    // A created resource lists all its fields, each null before.
    let created = &events[2];
    let fields: Vec<&str> = created.changes.iter().map(|change| change.field.as_str()).collect();
    assert!(fields.contains(&"email") && fields.contains(&"state"), "{fields:?}");
    assert!(created.changes.iter().all(|change| text(&change.before) == "null"));
}

#[both]
async fn filters_combine_and_the_newest_comes_first(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let key = t.user_key(&ada).await;
    let rename = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        name: "A".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    t.with_key(&key).users().update_user(rename).await.unwrap();
    let base = pb::ListEventsRequest::default;
    let admin = t.admin();
    let of = async |request| list(&admin, request).await.into_iter().map(|event| event.action).collect::<Vec<_>>();

    assert_eq!(
        of(pb::ListEventsRequest { organization_id: acme.id.clone(), ..base() }).await,
        ["user.updated", "membership.created", "membership.created", "organization.created"]
    );
    assert_eq!(
        of(pb::ListEventsRequest { user_id: bob.id.clone(), ..base() }).await,
        ["membership.created", "user.created"]
    );
    assert_eq!(of(pb::ListEventsRequest { resource_id: acme.id.clone(), ..base() }).await, ["organization.created"]);
    assert_eq!(of(pb::ListEventsRequest { actor_user_id: ada.id.clone(), ..base() }).await, ["user.updated"]);
    assert_eq!(
        of(pb::ListEventsRequest { actor_api_key_id: MISSING_ID.to_owned(), ..base() }).await,
        Vec::<String>::new()
    );
    let kinds =
        pb::ListEventsRequest { resource_type: pb::ResourceType::Membership.into(), user_id: bob.id.clone(), ..base() };
    assert_eq!(of(kinds).await, ["membership.created"]);
    let actions = vec!["user.*".to_owned()];
    let disjoint = pb::ListEventsRequest { resource_type: pb::ResourceType::Membership.into(), actions, ..base() };
    assert_eq!(of(disjoint).await, Vec::<String>::new());
    let named =
        pb::ListEventsRequest { actions: vec!["user.*".to_owned(), "organization.created".to_owned()], ..base() };
    assert_eq!(
        of(named).await,
        ["user.updated", "organization.created", "user.created", "user.created", "user.created"]
    );
    assert_eq!(of(pb::ListEventsRequest { created_from: time_in(&t, 60), ..base() }).await, Vec::<String>::new());
    assert!(of(pb::ListEventsRequest { created_before: time_in(&t, 60), ..base() }).await.len() >= 8);
    assert_eq!(of(pb::ListEventsRequest { created_before: time_in(&t, -60), ..base() }).await, Vec::<String>::new());

    // Paging returns the same list.
    let whole = list(&t.admin(), base()).await;
    let (mut walked, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListEventsRequest { page_size: 3, page_token, ..base() };
        let page = t.admin().events().list_events(request).await.answered();
        walked.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(walked, whole);
}

#[both]
async fn an_unknown_action_is_refused_and_named(t: Arc<Test>) {
    let request = pb::ListEventsRequest {
        actions: vec!["user.created".to_owned(), "user.exploded".to_owned()],
        user_id: "x".to_owned(),
        ..Default::default()
    };
    let status = refused(t.admin().events().list_events(request).await, ErrorReason::InvalidArgument);
    assert_eq!(crate::support::refusal::fields(&status), ["user_id", "actions[1]"]);
}

/// A member sees which admin changed the membership, but neither the key nor the address.
async fn a_member_sees_which_admin_changed_it(t: &Test, admin: &pb::User, member: &pb::User, acme: &pb::Organization) {
    let membership = t.membership(&member.id, &acme.id).await.unwrap();
    let update = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "viewer".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    t.with_key(&t.user_key(admin).await).memberships().update_membership(update).await.unwrap();
    let seen = list(
        &t.with_key(&t.user_key(member).await),
        pb::ListEventsRequest { actions: vec!["membership.updated".to_owned()], ..Default::default() },
    )
    .await;
    let actor = seen[0].actor.clone().unwrap();
    assert_eq!((&actor.user_id, actor.api_key_id.as_str(), actor.ip_address.as_str()), (&admin.id, "", ""));
}

#[both]
async fn a_tenant_sees_its_own_events_and_of_the_platform_only_that_it_acted(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&bob, &acme, "member").await;
    let organization = t.with_key(&t.organization_key(&acme).await);
    let seen = list(&organization, pb::ListEventsRequest::default()).await;
    assert_eq!(actions(&seen), ["api_key.created", "membership.created", "membership.created", "organization.created"]);
    for event in &seen {
        assert_eq!(event.organization_id, acme.id);
        let hidden = pb::Actor { kind: pb::ActorKind::PlatformAdmin.into(), ..Default::default() };
        assert_eq!(event.actor, Some(hidden), "a tenant must not see which platform admin acted");
    }
    // A tenant sees its own actions in full.
    let update = pb::UpdateOrganizationRequest {
        organization_id: acme.id.clone(),
        name: "New".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    organization.organizations().update_organization(update).await.unwrap();
    let newest = list(&organization, pb::ListEventsRequest::default()).await.remove(0);
    let actor = newest.actor.unwrap();
    assert_eq!(
        (newest.action.as_str(), actor.kind(), &actor.organization_id),
        ("organization.updated", pb::ActorKind::Organization, &acme.id)
    );
    assert_eq!(actor.ip_address, "127.0.0.1");

    // A filter by admin reveals nothing either.
    let admin = t.first_admin().await;
    let by_admin = || pb::ListEventsRequest { actor_user_id: admin.id.clone(), ..Default::default() };
    assert!(!list(&t.admin(), by_admin()).await.is_empty());
    assert_eq!(list(&organization, by_admin()).await, []);

    a_member_sees_which_admin_changed_it(&t, &ada, &bob, &acme).await;

    // Users see their own events and those of organizations that they administer. A plain member does not see the organization's.
    let of_acme = || pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let owner = t.with_key(&t.user_key(&ada).await);
    assert!(list(&owner, pb::ListEventsRequest::default()).await.iter().all(|event| event.user_id == ada.id));
    assert!(actions(&list(&owner, of_acme()).await).contains(&"organization.updated"));
    let member = t.with_key(&t.user_key(&bob).await);
    refused(member.events().list_events(of_acme()).await, ErrorReason::RoleInsufficient);
    let stranger = t.with_key(&t.user_key(&eve).await);
    refused(stranger.events().list_events(of_acme()).await, ErrorReason::OrganizationNotFound);
    for foreign in [
        pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() },
        pb::ListEventsRequest { resource_id: acme.id.clone(), ..Default::default() },
        pb::ListEventsRequest { organization_id: other.id.clone(), user_id: ada.id.clone(), ..Default::default() },
    ] {
        assert_eq!(list(&stranger, foreign).await, []);
    }
    let (_, narrow) = t.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    refused(t.with_key(&narrow).events().list_events(of_acme()).await, ErrorReason::ScopeMissing);
}

#[both]
async fn events_are_listed_oldest_first_when_asked(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.suspend(&ada).await;
    t.reactivate(&ada).await;
    let of_ada = pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() };
    let oldest = pb::ListEventsRequest { order: pb::Order::OldestFirst.into(), ..of_ada.clone() };
    let expected = ["user.created", "user.suspended", "user.reactivated"];
    assert_eq!(actions(&list(&t.admin(), oldest.clone()).await), expected);
    // By actions alone, and page by page.
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListEventsRequest {
            actions: vec!["user.*".to_owned()],
            user_id: String::new(),
            created_from: ada.created_at,
            page_size: 1,
            page_token,
            ..oldest.clone()
        };
        let page = t.admin().events().list_events(request).await.answered();
        seen.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(actions(&seen), expected);
    assert_eq!(list(&t.admin(), of_ada).await[0].action, "user.reactivated");
}

#[both]
async fn events_are_found_by_address_method_and_metadata_as_far_as_they_are_shown(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    for (name, ticket) in [("A", "ABC-1"), ("B", "ABC-2"), ("C", "")] {
        let mut request = tonic::Request::new(pb::UpdateUserRequest {
            user_id: ada.id.clone(),
            name: name.to_owned(),
            update_mask: mask(&["name"]),
            ..Default::default()
        });
        if !ticket.is_empty() {
            request.metadata_mut().insert("x-event-ticket", ticket.parse().unwrap());
        }
        t.with_key(if name == "B" { &t.admin_key } else { &key }).users().update_user(request).await.unwrap();
    }
    let of_ada = pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() };
    let count = async |api: &crate::support::Api, request: pb::ListEventsRequest| list(api, request).await.len();
    let (admin, own) = (t.admin(), t.with_key(&key));
    let method = pb::ListEventsRequest { method: "tenantry.v1.UserService.UpdateUser".to_owned(), ..of_ada.clone() };
    assert_eq!(count(&admin, method).await, 3);
    let key_of = |value: &str| pb::ListEventsRequest {
        metadata_key: "ticket".to_owned(),
        metadata_value: value.to_owned(),
        ..of_ada.clone()
    };
    assert_eq!((count(&admin, key_of("")).await, count(&admin, key_of("ABC-2")).await), (2, 1));
    // Ada does not see with which metadata, and from where, the platform acted.
    assert_eq!((count(&own, key_of("")).await, count(&own, key_of("ABC-2")).await), (1, 0));
    let from = |address: &str| pb::ListEventsRequest { ip_address: address.to_owned(), ..of_ada.clone() };
    assert_eq!(count(&admin, from("192.0.2.1")).await, 0);
    assert_eq!(count(&own, from("127.0.0.1")).await, 2);
    assert_eq!(count(&own, from("::ffff:127.0.0.1")).await, 2);
    let paged = pb::ListEventsRequest { page_size: 1, ..from("127.0.0.1") };
    let first = own.events().list_events(paged.clone()).await.answered();
    let second = pb::ListEventsRequest { page_token: first.next_page_token, ..paged };
    let second = own.events().list_events(second).await.answered();
    assert_ne!(first.events[0].id, second.events[0].id);
    for request in [
        from("localhost"),
        pb::ListEventsRequest { method: "x".repeat(513), ..of_ada.clone() },
        pb::ListEventsRequest { metadata_value: "x".to_owned(), ..of_ada.clone() },
        pb::ListEventsRequest { order: 9, ..of_ada.clone() },
    ] {
        refused(admin.events().list_events(request).await, ErrorReason::InvalidArgument);
    }
}

#[both]
async fn admins_of_an_organization_see_the_events_of_its_members(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    t.suspend(&bob).await;
    let owner = t.with_key(&t.user_key(&ada).await);
    let of_acme = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let seen = list(&owner, of_acme.clone()).await;
    assert_eq!(actions(&seen), ["user.suspended", "membership.created", "membership.created", "organization.created"]);
    assert_eq!(seen[0].actor, Some(pb::Actor { kind: pb::ActorKind::PlatformAdmin.into(), ..Default::default() }));
    // The same event as the one about the user, which a platform admin sees in full.
    let in_full = list(&t.admin(), of_acme.clone()).await.remove(0);
    assert_eq!((in_full.sequence, in_full.method.as_str()), (seen[0].sequence, "tenantry.v1.UserService.SuspendUser"));
    // In the other order, and page by page, too.
    let (mut oldest, mut page_token) = (Vec::new(), String::new());
    loop {
        let order = pb::Order::OldestFirst.into();
        let request = pb::ListEventsRequest { order, page_size: 1, page_token, ..of_acme.clone() };
        let page = owner.events().list_events(request).await.answered();
        oldest.extend(page.events);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    oldest.reverse();
    assert_eq!(oldest, seen);
    // Without the organization, the owner sees only what is about the owner.
    assert!(!actions(&list(&owner, pb::ListEventsRequest::default()).await).contains(&"user.suspended"));
}
