//! `OrganizationService.GetOrganizationBySlug`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

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
async fn what_is_no_slug_is_refused(t: Arc<Test>) {
    for slug in ["", "-", "Acme", "a\0"] {
        refused(t.admin().organizations().get_organization_by_slug(by(slug)).await, ErrorReason::InvalidArgument);
    }
}
