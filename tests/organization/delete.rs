//! `OrganizationService.DeleteOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn delete(organization: &pb::Organization) -> pb::DeleteOrganizationRequest {
    pb::DeleteOrganizationRequest {
        organization_id: organization.id.clone(),
        etag: String::new(),
        ..Default::default()
    }
}

#[both]
async fn nothing_finds_a_deleted_organization_and_its_slug_is_free(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    let adas = t.with_key(&t.user_key(&ada).await);
    let deleted = adas.organizations().delete_organization(delete(&acme)).await.answered();
    assert_eq!(deleted.organization.unwrap().state(), pb::OrganizationState::Deleted);
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    refused(t.admin().organizations().get_organization(get.clone()).await, ErrorReason::OrganizationNotFound);
    refused(adas.organizations().get_organization(get.clone()).await, ErrorReason::OrganizationNotFound);
    refused(t.with_key(&key).organizations().get_organization(get).await, ErrorReason::Unauthenticated);
    assert!(t.membership(&ada.id, &acme.id).await.is_none());
    let again = pb::CreateOrganizationRequest {
        name: "Acme".to_owned(),
        slug: acme.slug,
        owner_user_id: ada.id,
        ..Default::default()
    };
    t.admin().organizations().create_organization(again).await.unwrap();
}

#[both]
async fn it_takes_an_owner(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        refused(
            t.with_key(&key).organizations().delete_organization(delete(&acme)).await,
            ErrorReason::RoleInsufficient,
        );
    }
}

#[both]
async fn a_stale_etag_is_reported_only_to_callers_with_permission(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let stale = pb::DeleteOrganizationRequest { etag: "r0".to_owned(), ..delete(&acme) };
    refused(t.admin().organizations().delete_organization(stale.clone()).await, ErrorReason::EtagMismatch);
    let bobs = t.with_key(&t.user_key(&bob).await);
    refused(bobs.organizations().delete_organization(stale).await, ErrorReason::RoleInsufficient);
}
