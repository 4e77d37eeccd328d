//! `OrganizationService.ReactivateOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn its_keys_work_again(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let reactivate = pb::ReactivateOrganizationRequest {
        organization_id: acme.id.clone(),
        etag: String::new(),
        ..Default::default()
    };
    let back = t.admin().organizations().reactivate_organization(reactivate.clone()).await.answered();
    assert_eq!(back.organization.as_ref().unwrap().state(), pb::OrganizationState::Active);
    let get = pb::GetOrganizationRequest { organization_id: acme.id };
    t.with_key(&key).organizations().get_organization(get).await.unwrap();
    assert_eq!(t.admin().organizations().reactivate_organization(reactivate).await.answered(), back);
}

#[both]
async fn a_missing_organization_is_not_found(t: Arc<Test>) {
    let request = pb::ReactivateOrganizationRequest {
        organization_id: MISSING_ID.to_owned(),
        etag: String::new(),
        ..Default::default()
    };
    refused(t.admin().organizations().reactivate_organization(request).await, ErrorReason::OrganizationNotFound);
}
