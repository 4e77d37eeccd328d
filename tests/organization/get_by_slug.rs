//! `OrganizationService.GetOrganizationBySlug`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, mask, refused};

fn by(slug: &str) -> pb::GetOrganizationBySlugRequest {
    pb::GetOrganizationBySlugRequest { slug: slug.to_owned() }
}

#[both]
async fn a_slug_finds_the_organization(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let adas = t.with_key(&t.user_key(&ada).await);
    let got = adas.organizations().get_organization_by_slug(by(&acme.slug)).await.answered();
    assert_eq!(got.organization.unwrap(), acme);
    let eves = t.with_key(&t.user_key(&eve).await);
    refused(eves.organizations().get_organization_by_slug(by(&acme.slug)).await, ErrorReason::OrganizationNotFound);
    refused(eves.organizations().get_organization_by_slug(by("nothing")).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn malformed_slugs_are_refused(t: Arc<Test>) {
    for slug in ["", "-", "Acme", "a\0"] {
        refused(t.admin().organizations().get_organization_by_slug(by(slug)).await, ErrorReason::InvalidArgument);
    }
}

async fn rename(t: &Test, organization: &pb::Organization, slug: &str) {
    let request = pb::UpdateOrganizationRequest {
        organization_id: organization.id.clone(),
        slug: slug.to_owned(),
        update_mask: mask(&["slug"]),
        ..Default::default()
    };
    t.admin().organizations().update_organization(request).await.unwrap();
}

/// The id of the organization that a slug finds and whether it is a former one; empty if it finds none.
async fn found(t: &Test, slug: &str) -> (String, bool) {
    match t.admin().organizations().get_organization_by_slug(by(slug)).await {
        Ok(found) => (found.get_ref().organization.clone().unwrap().id, found.get_ref().is_former_slug),
        refusal => {
            refused(refusal, ErrorReason::OrganizationNotFound);
            (String::new(), false)
        }
    }
}

#[both]
async fn a_former_slug_still_finds_it_until_another_organization_takes_it(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    rename(&t, &acme, "acme-new").await;
    assert_eq!(found(&t, &acme.slug).await, (acme.id.clone(), true));
    assert_eq!(found(&t, "acme-new").await, (acme.id.clone(), false));
    let adas = t.with_key(&t.user_key(&ada).await);
    let reported = adas.organizations().get_organization_by_slug(by(&acme.slug)).await.answered();
    assert_eq!((reported.organization.unwrap().slug.as_str(), reported.is_former_slug), ("acme-new", true));
    let eves = t.with_key(&t.user_key(&eve).await);
    refused(eves.organizations().get_organization_by_slug(by(&acme.slug)).await, ErrorReason::OrganizationNotFound);
    // Taken by an update, given up again, and taken by a new organization.
    rename(&t, &other, &acme.slug).await;
    assert_eq!(found(&t, &acme.slug).await, (other.id.clone(), false));
    rename(&t, &other, "other-new").await;
    assert_eq!(found(&t, &acme.slug).await, (other.id.clone(), true));
    let create = pb::CreateOrganizationRequest {
        name: "Third".to_owned(),
        slug: acme.slug.clone(),
        owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    let third = t.admin().organizations().create_organization(create).await.answered().organization.unwrap();
    assert_eq!(found(&t, &acme.slug).await, (third.id.clone(), false));
    let purge = pb::PurgeOrganizationRequest { organization_id: third.id, ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    assert_eq!(found(&t, &acme.slug).await, (String::new(), false));
}

#[both]
async fn an_organization_takes_its_own_former_slug_back(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for _ in 0..3 {
        rename(&t, &acme, "acme-new").await;
        rename(&t, &acme, &acme.slug).await;
    }
    assert_eq!(found(&t, &acme.slug).await, (acme.id.clone(), false));
    assert_eq!(found(&t, "acme-new").await, (acme.id.clone(), true));
    assert_eq!(t.database.texts("SELECT slug AS value FROM cf_former_slugs").await, ["acme-new"]);
}

#[both]
async fn the_last_ten_former_slugs_are_kept_and_go_with_the_organization(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for number in 0..12 {
        rename(&t, &acme, &format!("former-{number}")).await;
    }
    assert_eq!(found(&t, &acme.slug).await, (String::new(), false));
    assert_eq!(found(&t, "former-0").await, (String::new(), false));
    assert_eq!(found(&t, "former-1").await, (acme.id.clone(), true));
    assert_eq!(found(&t, "former-11").await, (acme.id.clone(), false));
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    assert_eq!(found(&t, "former-10").await, (String::new(), false));
    let purge = pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    assert!(t.database.texts("SELECT slug AS value FROM cf_former_slugs").await.is_empty());
}
