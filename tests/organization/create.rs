//! `OrganizationService.CreateOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use tonic_types::StatusExt as _;

use crate::support::{Answered as _, MISSING_ID, Test, both, object, refusal::fields, refused};

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
        plan: "pro".to_owned(),
        logo_url: "https://example.com/l.png".to_owned(),
        settings: object("theme", "dark"),
        ..new(&ada, "acme")
    };
    let created = t.admin().organizations().create_organization(request).await.answered();
    let acme = created.organization.unwrap();
    assert_eq!((acme.slug.as_str(), acme.plan.as_str(), acme.state()), ("acme", "pro", pb::OrganizationState::Active));
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
    assert_eq!(acme.plan, "free");
    refused(organizations.create_organization(new(&eve, "evil")).await, ErrorReason::UserNotFound);
    let paid = pb::CreateOrganizationRequest { plan: "enterprise".to_owned(), ..new(&ada, "paid") };
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

#[both]
async fn a_platform_admin_can_take_a_reserved_slug_explicitly(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let adas = t.with_key(&t.user_key(&ada).await);
    for slug in ["admin", "api", "www", "login"] {
        for api in [&t.admin(), &adas] {
            let status = refused(
                api.organizations().create_organization(new(&ada, slug)).await,
                ErrorReason::OrganizationSlugReserved,
            );
            assert_eq!(fields(&status), ["slug"]);
        }
    }
    let allowed = pb::CreateOrganizationRequest { allow_reserved_slug: true, ..new(&ada, "admin") };
    let refusal = adas.organizations().create_organization(allowed.clone()).await;
    refused(refusal, ErrorReason::PlatformAdminRequired);
    let created = t.admin().organizations().create_organization(allowed).await.answered().organization.unwrap();
    assert_eq!(created.slug, "admin");
}

#[both(options = ["--reserved-slugs", "acme,globex"])]
async fn a_slug_made_of_the_name_is_never_reserved_and_the_list_can_be_extended(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut organizations = t.admin().organizations();
    for name in ["Acme", "Admin", "Globex"] {
        let request = pb::CreateOrganizationRequest { name: name.to_owned(), ..new(&ada, "") };
        let slug = organizations.create_organization(request).await.answered().organization.unwrap().slug;
        assert!(slug.starts_with(&format!("{}-", name.to_lowercase())), "{slug}");
    }
    let reserved = organizations.create_organization(new(&ada, "globex")).await;
    refused(reserved, ErrorReason::OrganizationSlugReserved);
    organizations.create_organization(new(&ada, "initech")).await.unwrap();
}

#[both(options = ["--plans", "basic,team-2"])]
async fn plans_are_the_deployments_and_the_first_is_the_default(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut organizations = t.with_key(&t.user_key(&ada).await).organizations();
    let acme = organizations.create_organization(new(&ada, "acme")).await.answered().organization.unwrap();
    assert_eq!(acme.plan, "basic");
    let paid = |plan: &str, slug: &str| pb::CreateOrganizationRequest { plan: plan.to_owned(), ..new(&ada, slug) };
    organizations.create_organization(paid("basic", "same")).await.unwrap();
    refused(organizations.create_organization(paid("team-2", "more")).await, ErrorReason::PlatformAdminRequired);
    let created = t.admin().organizations().create_organization(paid("team-2", "more")).await.answered();
    assert_eq!(created.organization.unwrap().plan, "team-2");
    for plan in ["free", "Basic", "-", &"x".repeat(64)] {
        let refusal = t.admin().organizations().create_organization(paid(plan, "third")).await;
        assert_eq!(fields(&refused(refusal, ErrorReason::InvalidArgument)), ["plan"]);
    }
    let refusal = t.admin().organizations().create_organization(paid("pro", "third")).await;
    let status = refused(refusal, ErrorReason::InvalidArgument);
    let rule = status.get_details_bad_request().unwrap().field_violations.remove(0).description;
    assert_eq!(rule, "must be one of basic, team-2");
}

#[both(options = ["--plans", ""])]
async fn without_a_list_of_plans_every_plan_is_accepted(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let any = pb::CreateOrganizationRequest { plan: "whatever-1".to_owned(), ..new(&ada, "acme") };
    let created = t.admin().organizations().create_organization(any).await.answered().organization.unwrap();
    assert_eq!(created.plan, "whatever-1");
    let created = t.admin().organizations().create_organization(new(&ada, "other")).await.answered();
    assert_eq!(created.organization.unwrap().plan, "free");
}
