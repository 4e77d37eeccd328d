//! `OrganizationService.UndeleteOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, DAY, Test, both, given::unique, refusal::fields, refused, rounds};

fn undelete(organization: &pb::Organization) -> pb::UndeleteOrganizationRequest {
    pb::UndeleteOrganizationRequest {
        organization_id: organization.id.clone(),
        etag: String::new(),
        ..Default::default()
    }
}

async fn delete(t: &Test, organization: &pb::Organization) {
    let request = pb::DeleteOrganizationRequest {
        organization_id: organization.id.clone(),
        etag: String::new(),
        ..Default::default()
    };
    t.admin().organizations().delete_organization(request).await.unwrap();
}

#[both]
async fn an_organization_restored_while_its_owner_goes_is_not_without_one(t: Arc<Test>) {
    for round in 0..rounds(30) {
        let ada = t.user("ada").await;
        let acme = t.organization(&ada).await;
        let delete = pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
        t.admin().organizations().delete_organization(delete).await.unwrap();
        let (mut organizations, mut users) = (t.admin().organizations(), t.admin().users());
        let restore = pb::UndeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
        let suspend = pb::SuspendUserRequest { user_id: ada.id.clone(), ..Default::default() };
        let (restored, suspended) =
            tokio::join!(organizations.undelete_organization(restore), users.suspend_user(suspend));
        // The suspension always succeeds; a later undelete needs another owner.
        suspended.unwrap_or_else(|status| panic!("round {round}: {status:?}"));
        if let Err(refusal) = restored {
            assert_eq!(crate::support::refusal::reason_of(&refusal), "LAST_OWNER");
        }
    }
}

#[both]
async fn a_restored_organization_is_as_it_was(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    delete(&t, &acme).await;
    t.advance(29 * DAY);
    let undelete = pb::UndeleteOrganizationRequest { restore_api_keys: true, ..undelete(&acme) };
    let back = t.admin().organizations().undelete_organization(undelete).await.answered();
    assert_eq!(back.organization.unwrap().state(), pb::OrganizationState::Active);
    assert!(t.membership(&ada.id, &acme.id).await.is_some());
    let get = pb::GetOrganizationRequest { organization_id: acme.id };
    t.with_key(&key).organizations().get_organization(get).await.unwrap();
}

#[both]
async fn after_the_restore_window_it_is_not_found(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    delete(&t, &acme).await;
    t.advance(31 * DAY);
    refused(t.admin().organizations().undelete_organization(undelete(&acme)).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn a_taken_slug_and_a_lost_owner_are_reported(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    delete(&t, &acme).await;
    let other = pb::CreateOrganizationRequest {
        name: "X".to_owned(),
        slug: acme.slug.clone(),
        owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    let other = t.admin().organizations().create_organization(other).await.answered().organization.unwrap();
    refused(t.admin().organizations().undelete_organization(undelete(&acme)).await, ErrorReason::OrganizationSlugTaken);
    delete(&t, &other).await;
    t.suspend(&ada).await;
    refused(t.admin().organizations().undelete_organization(undelete(&acme)).await, ErrorReason::LastOwner);
}

#[both]
async fn a_reserved_slug_needs_to_be_allowed_unless_it_is_the_former_one(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    delete(&t, &acme).await;
    let with_slug = |slug: &str| pb::UndeleteOrganizationRequest { slug: slug.to_owned(), ..undelete(&acme) };
    let mut organizations = t.admin().organizations();
    let reserved = organizations.undelete_organization(with_slug("login")).await;
    assert_eq!(fields(&refused(reserved, ErrorReason::OrganizationSlugReserved)), ["slug"]);
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    refused(organizations.get_organization(get).await, ErrorReason::OrganizationNotFound);
    let allowed = pb::UndeleteOrganizationRequest { allow_reserved_slug: true, ..with_slug("login") };
    let restored = organizations.undelete_organization(allowed).await.answered().organization.unwrap();
    assert_eq!((restored.id.as_str(), restored.slug.as_str()), (acme.id.as_str(), "login"));
    // A slug that the organization already has may stay, named or not.
    for slug in ["", "login"] {
        delete(&t, &acme).await;
        let restored = organizations.undelete_organization(with_slug(slug)).await.answered().organization.unwrap();
        assert_eq!((restored.state(), restored.slug.as_str()), (pb::OrganizationState::Active, "login"));
    }
}

#[both]
async fn an_organization_that_lost_its_external_id_is_restored_with_another(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let create = |external_id: &str| pb::CreateOrganizationRequest {
        name: "Acme".to_owned(),
        slug: unique("acme-"),
        owner_user_id: ada.id.clone(),
        external_id: external_id.to_owned(),
        ..Default::default()
    };
    let mut organizations = t.admin().organizations();
    let former = unique("external-");
    let acme = organizations.create_organization(create(&former)).await.answered().organization.unwrap();
    delete(&t, &acme).await;
    organizations.create_organization(create(&former)).await.unwrap();
    let with_external_id =
        |external_id: &str| pb::UndeleteOrganizationRequest { external_id: external_id.to_owned(), ..undelete(&acme) };
    for external_id in ["", former.as_str()] {
        let restored = organizations.undelete_organization(with_external_id(external_id)).await;
        refused(restored, ErrorReason::OrganizationExternalIdTaken);
    }
    let invalid = organizations.undelete_organization(with_external_id("x\n")).await;
    assert_eq!(fields(&refused(invalid, ErrorReason::InvalidArgument)), ["external_id"]);
    let other = unique("external-");
    let restored = organizations.undelete_organization(with_external_id(&other)).await.answered().organization.unwrap();
    assert_eq!((restored.id.as_str(), restored.external_id.as_str()), (acme.id.as_str(), other.as_str()));
    let get = pb::GetOrganizationByExternalIdRequest { external_id: other };
    let found = organizations.get_organization_by_external_id(get).await.answered().organization.unwrap();
    assert_eq!(found, restored);
    // It keeps its external id if none is given.
    delete(&t, &acme).await;
    let again = organizations.undelete_organization(undelete(&acme)).await.answered().organization.unwrap();
    assert_eq!(again.external_id, restored.external_id);
}
