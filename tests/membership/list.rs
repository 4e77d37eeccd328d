//! `MembershipService.ListMemberships`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

async fn roles(t: &Test, request: pb::ListMembershipsRequest) -> Vec<String> {
    let page = t.admin().memberships().list_memberships(request).await.answered();
    page.memberships.into_iter().map(|membership| membership.role).collect()
}

#[both]
async fn memberships_are_listed_by_organization_user_and_role(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&bob).await);
    t.member(&bob, &acme, "member").await;
    let of_acme = pb::ListMembershipsRequest { organization_id: acme.id.clone(), ..Default::default() };
    assert_eq!(roles(&t, of_acme.clone()).await, ["owner", "member"]);
    let of_bob = pb::ListMembershipsRequest { user_id: bob.id.clone(), ..Default::default() };
    assert_eq!(roles(&t, of_bob.clone()).await, ["owner", "member"]);
    let owners = pb::ListMembershipsRequest { role: "owner".to_owned(), ..of_acme.clone() };
    assert_eq!(roles(&t, owners).await, ["owner"]);
    let both = pb::ListMembershipsRequest { user_id: bob.id.clone(), ..of_acme };
    assert_eq!(roles(&t, both).await, ["member"]);
    // Ada sees only Bob's membership in her organization.
    let page = t.with_key(&t.user_key(&ada).await).memberships().list_memberships(of_bob).await.answered();
    assert_eq!(page.memberships.len(), 1);
    let foreign = pb::ListMembershipsRequest { organization_id: other.id, ..Default::default() };
    let list = t.with_key(&t.user_key(&ada).await).memberships().list_memberships(foreign).await;
    refused(list, ErrorReason::OrganizationNotFound);
}

#[both]
async fn a_list_of_nothing_in_particular_is_refused(t: Arc<Test>) {
    let request = pb::ListMembershipsRequest { role: "owner".to_owned(), ..Default::default() };
    refused(t.admin().memberships().list_memberships(request).await, ErrorReason::InvalidArgument);
}

#[both]
async fn an_unknown_user_is_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let request = pb::ListMembershipsRequest { user_id: eve.id, ..Default::default() };
    let list = t.with_key(&t.organization_key(&acme).await).memberships().list_memberships(request).await;
    refused(list, ErrorReason::UserNotFound);
}

#[both]
async fn memberships_are_listed_newest_first_and_by_time(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let viewer = t.member(&t.user("bob").await, &acme, "viewer").await;
    t.member(&t.user("eve").await, &acme, "member").await;
    let of_acme = pb::ListMembershipsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let newest = pb::ListMembershipsRequest { order: pb::Order::NewestFirst.into(), ..of_acme.clone() };
    assert_eq!(roles(&t, newest.clone()).await, ["member", "viewer", "owner"]);
    let since = pb::ListMembershipsRequest { created_from: viewer.created_at, ..newest };
    assert_eq!(roles(&t, since).await, ["member", "viewer"]);
    let before = pb::ListMembershipsRequest { created_before: viewer.created_at, ..of_acme };
    assert_eq!(roles(&t, before).await, ["owner"]);
}
