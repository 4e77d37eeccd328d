//! `OrganizationService.SuspendOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn suspend(organization: &pb::Organization) -> pb::SuspendOrganizationRequest {
    pb::SuspendOrganizationRequest {
        organization_id: organization.id.clone(),
        etag: String::new(),
        ..Default::default()
    }
}

#[both]
async fn the_keys_of_a_suspended_organization_stop(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    let suspended = t.admin().organizations().suspend_organization(suspend(&acme)).await.answered();
    assert_eq!(suspended.organization.unwrap().state(), pb::OrganizationState::Suspended);
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    refused(t.with_key(&key).organizations().get_organization(get.clone()).await, ErrorReason::Unauthenticated);
    // Its members still see it.
    t.with_key(&t.user_key(&ada).await).organizations().get_organization(get).await.unwrap();
}

#[both]
async fn suspending_twice_changes_nothing_and_an_owner_may_not(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let adas = t.with_key(&t.user_key(&ada).await);
    refused(adas.organizations().suspend_organization(suspend(&acme)).await, ErrorReason::PlatformAdminRequired);
    let once = t.admin().organizations().suspend_organization(suspend(&acme)).await.answered();
    assert_eq!(t.admin().organizations().suspend_organization(suspend(&acme)).await.answered(), once);
}
