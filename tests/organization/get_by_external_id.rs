//! `OrganizationService.GetOrganizationByExternalId`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, mask, refused};

fn by(external_id: &str) -> pb::GetOrganizationByExternalIdRequest {
    pb::GetOrganizationByExternalIdRequest { external_id: external_id.to_owned() }
}

fn named(organization: &pb::Organization, external_id: &str) -> pb::UpdateOrganizationRequest {
    pb::UpdateOrganizationRequest {
        organization_id: organization.id.clone(),
        external_id: external_id.to_owned(),
        update_mask: mask(&["external_id"]),
        ..Default::default()
    }
}

#[both]
async fn an_organization_is_found_by_its_external_id_within_reach(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    for (organization, external_id) in [(&acme, "billing-1"), (&other, "billing-2")] {
        t.admin().organizations().update_organization(named(organization, external_id)).await.unwrap();
    }
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await, t.admin_key.clone()] {
        let mut api = t.with_key(&key).organizations();
        let found = api.get_organization_by_external_id(by("billing-1")).await.answered().organization.unwrap();
        assert_eq!((found.id, found.external_id.as_str()), (acme.id.clone(), "billing-1"));
    }
    let mut api = t.with_key(&t.user_key(&ada).await).organizations();
    let foreign =
        refused(api.get_organization_by_external_id(by("billing-2")).await, ErrorReason::OrganizationNotFound);
    let missing = refused(api.get_organization_by_external_id(by("nothing")).await, ErrorReason::OrganizationNotFound);
    assert_eq!((foreign.message(), foreign.details()), (missing.message(), missing.details()));
    refused(api.get_organization_by_external_id(by("")).await, ErrorReason::InvalidArgument);
}

#[both]
async fn only_a_platform_admin_sets_it_and_no_two_have_the_same(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    let mut admin = t.admin().organizations();
    let mut owner = t.with_key(&t.user_key(&ada).await).organizations();
    refused(owner.update_organization(named(&acme, "own")).await, ErrorReason::PlatformAdminRequired);
    let create = pb::CreateOrganizationRequest {
        name: "Third".to_owned(),
        owner_user_id: ada.id.clone(),
        external_id: "billing".to_owned(),
        ..Default::default()
    };
    refused(owner.create_organization(create.clone()).await, ErrorReason::PlatformAdminRequired);
    admin.update_organization(named(&acme, "billing")).await.unwrap();
    refused(admin.update_organization(named(&other, "billing")).await, ErrorReason::OrganizationExternalIdTaken);
    refused(admin.create_organization(create.clone()).await, ErrorReason::OrganizationExternalIdTaken);
    // A deleted organization frees it, and cannot be restored while another has it.
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    admin.delete_organization(delete).await.unwrap();
    let third = admin.create_organization(create).await.answered().organization.unwrap();
    let undelete = pb::UndeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    refused(admin.undelete_organization(undelete.clone()).await, ErrorReason::OrganizationExternalIdTaken);
    admin.update_organization(named(&third, "")).await.unwrap();
    let restored = admin.undelete_organization(undelete).await.answered().organization.unwrap();
    assert_eq!(restored.external_id, "billing");
}
