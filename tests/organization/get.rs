//! `OrganizationService.GetOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn get(id: &str) -> pb::GetOrganizationRequest {
    pb::GetOrganizationRequest { organization_id: id.to_owned() }
}

#[both]
async fn members_and_its_own_key_see_an_organization(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    for key in [t.user_key(&ada).await, t.user_key(&bob).await, t.organization_key(&acme).await] {
        let got = t.with_key(&key).organizations().get_organization(get(&acme.id)).await.answered();
        assert_eq!(got.organization.unwrap(), acme);
    }
    let other = t.organization(&eve).await;
    for key in [t.user_key(&eve).await, t.organization_key(&other).await] {
        let mut organizations = t.with_key(&key).organizations();
        let foreign = refused(organizations.get_organization(get(&acme.id)).await, ErrorReason::OrganizationNotFound);
        let missing = refused(organizations.get_organization(get(MISSING_ID)).await, ErrorReason::OrganizationNotFound);
        assert_eq!((foreign.message(), foreign.details()), (missing.message(), missing.details()));
    }
}

#[both]
async fn a_former_member_sees_it_no_more(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let membership = t.member(&bob, &acme, "admin").await;
    let mut organizations = t.with_key(&t.user_key(&bob).await).organizations();
    organizations.get_organization(get(&acme.id)).await.unwrap();
    let delete =
        pb::DeleteMembershipRequest { membership_id: membership.id, etag: String::new(), ..Default::default() };
    t.admin().memberships().delete_membership(delete).await.unwrap();
    refused(organizations.get_organization(get(&acme.id)).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn malformed_uuids_are_refused(t: Arc<Test>) {
    refused(t.admin().organizations().get_organization(get("acme")).await, ErrorReason::InvalidArgument);
}
