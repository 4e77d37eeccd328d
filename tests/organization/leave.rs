//! `OrganizationService.LeaveOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Test, both, refused, rounds};

fn leave(organization: &pb::Organization) -> pb::LeaveOrganizationRequest {
    pb::LeaveOrganizationRequest { organization_id: organization.id.clone(), ..Default::default() }
}

#[both]
async fn a_member_goes_by_itself_and_reaches_nothing_any_more(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let mut bobs = t.with_key(&t.user_key(&bob).await).organizations();
    bobs.leave_organization(leave(&acme)).await.unwrap();
    assert!(t.membership(&bob.id, &acme.id).await.is_none());
    refused(bobs.leave_organization(leave(&acme)).await, ErrorReason::OrganizationNotFound);
    refused(
        t.with_key(&t.user_key(&eve).await).organizations().leave_organization(leave(&acme)).await,
        ErrorReason::OrganizationNotFound,
    );
    for key in [t.organization_key(&acme).await, t.admin_key.clone()] {
        refused(
            t.with_key(&key).organizations().leave_organization(leave(&acme)).await,
            ErrorReason::MembershipNotFound,
        );
    }
}

#[both]
async fn the_last_owner_stays(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let mut adas = t.with_key(&t.user_key(&ada).await).organizations();
    refused(adas.leave_organization(leave(&acme)).await, ErrorReason::LastOwner);
    t.member(&bob, &acme, "owner").await;
    adas.leave_organization(leave(&acme)).await.unwrap();
}

#[both]
async fn of_two_owners_who_leave_at_once_one_stays(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (adas, bobs) = (t.with_key(&t.user_key(&ada).await), t.with_key(&t.user_key(&bob).await));
    for round in 0..rounds(30) {
        let acme = t.organization(&ada).await;
        t.member(&bob, &acme, "owner").await;
        let (mut one, mut other) = (adas.organizations(), bobs.organizations());
        let (one, other) = tokio::join!(one.leave_organization(leave(&acme)), other.leave_organization(leave(&acme)));
        assert!(one.is_ok() != other.is_ok(), "round {round}: {one:?} {other:?}");
        refused(one.and(other), ErrorReason::LastOwner);
    }
}
