//! `OrganizationService.CreateOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, object, refused};

fn new(owner: &pb::User, slug: &str) -> pb::CreateOrganizationRequest {
    pb::CreateOrganizationRequest {
        name: "Acme".to_owned(),
        slug: slug.to_owned(),
        owner_user_id: owner.id.clone(),
        ..Default::default()
    }
}

#[both]
async fn an_organization_comes_with_its_owner(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::CreateOrganizationRequest {
        plan: pb::OrganizationPlan::Pro.into(),
        logo_url: "https://example.com/l.png".to_owned(),
        settings: object("theme", "dark"),
        ..new(&ada, "acme")
    };
    let created = t.admin().organizations().create_organization(request).await.answered();
    let acme = created.organization.unwrap();
    assert_eq!(
        (acme.slug.as_str(), acme.plan(), acme.state()),
        ("acme", pb::OrganizationPlan::Pro, pb::OrganizationState::Active)
    );
    assert_eq!(acme.settings, object("theme", "dark"));
    let membership = t.membership(&ada.id, &acme.id).await.unwrap();
    assert_eq!((membership.role.as_str(), membership.id), ("owner", created.owner_membership_id));
}

#[both]
async fn a_refused_owner_leaves_no_organization(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(t.admin().organizations().create_organization(new(&missing, "acme")).await, ErrorReason::UserNotFound);
    t.suspend(&ada).await;
    refused(t.admin().organizations().create_organization(new(&ada, "acme")).await, ErrorReason::UserSuspended);
    let by_slug = pb::GetOrganizationBySlugRequest { slug: "acme".to_owned() };
    refused(t.admin().organizations().get_organization_by_slug(by_slug).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn a_user_makes_its_own_free_organization_and_no_other(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let mut organizations = t.with_key(&t.user_key(&ada).await).organizations();
    let acme = organizations.create_organization(new(&ada, "acme")).await.answered().organization.unwrap();
    assert_eq!(acme.plan(), pb::OrganizationPlan::Free);
    refused(organizations.create_organization(new(&eve, "evil")).await, ErrorReason::UserNotFound);
    let paid = pb::CreateOrganizationRequest { plan: pb::OrganizationPlan::Enterprise.into(), ..new(&ada, "paid") };
    refused(organizations.create_organization(paid).await, ErrorReason::PlatformAdminRequired);
    let mut organizations = t.with_key(&t.organization_key(&acme).await).organizations();
    refused(organizations.create_organization(new(&ada, "third")).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn of_many_that_want_one_slug_one_gets_it(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let calls = (0..16).map(|_| {
        let (mut organizations, request) = (t.admin().organizations(), new(&ada, "race"));
        tokio::spawn(async move { organizations.create_organization(request).await })
    });
    let mut won = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => won += 1,
            refusal => drop(refused(refusal, ErrorReason::OrganizationSlugTaken)),
        }
    }
    assert_eq!(won, 1);
}

#[both]
async fn a_slug_is_made_of_the_name_and_never_taken(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut slugs = Vec::new();
    for _ in 0..3 {
        let created = t.admin().organizations().create_organization(new(&ada, "")).await.answered();
        slugs.push(created.organization.unwrap().slug);
    }
    assert_eq!(slugs[0], "acme");
    assert!(slugs[1].starts_with("acme-") && slugs[2].starts_with("acme-") && slugs[1] != slugs[2]);
}
