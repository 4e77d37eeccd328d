//! `OrganizationService.UpdateOrganization`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, mask, object, refusal::fields, refused};

fn rename(organization: &pb::Organization) -> pb::UpdateOrganizationRequest {
    pb::UpdateOrganizationRequest {
        organization_id: organization.id.clone(),
        name: "New".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    }
}

#[both]
async fn only_the_fields_of_the_mask_are_written(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let request = pb::UpdateOrganizationRequest {
        slug: "new-slug".to_owned(),
        settings: object("a", "b"),
        plan: "pro".to_owned(),
        logo_url: "https://example.com".to_owned(),
        update_mask: mask(&["name", "settings", "plan", "logo_url"]),
        etag: acme.etag.clone(),
        ..rename(&acme)
    };
    let new = t.admin().organizations().update_organization(request.clone()).await.answered().organization.unwrap();
    assert_eq!((new.name.as_str(), &new.slug, new.plan.as_str()), ("New", &acme.slug, "pro"));
    assert_eq!(new.settings, object("a", "b"));
    refused(t.admin().organizations().update_organization(request).await, ErrorReason::EtagMismatch);
}

#[both]
async fn it_takes_an_admin_and_a_plan_takes_a_platform_admin(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let mut organizations = t.with_key(&key).organizations();
        organizations.update_organization(rename(&acme)).await.unwrap();
        let plan = pb::UpdateOrganizationRequest {
            plan: "enterprise".to_owned(),
            update_mask: mask(&["plan"]),
            ..rename(&acme)
        };
        refused(organizations.update_organization(plan).await, ErrorReason::PlatformAdminRequired);
    }
    let mut organizations = t.with_key(&t.user_key(&bob).await).organizations();
    refused(organizations.update_organization(rename(&acme)).await, ErrorReason::RoleInsufficient);
    let mut organizations = t.with_key(&t.user_key(&eve).await).organizations();
    refused(organizations.update_organization(rename(&acme)).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn a_taken_slug_an_unspecified_plan_and_an_unknown_path_are_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    let slug = pb::UpdateOrganizationRequest { slug: other.slug, update_mask: mask(&["slug"]), ..rename(&acme) };
    refused(t.admin().organizations().update_organization(slug).await, ErrorReason::OrganizationSlugTaken);
    for (paths, field) in
        [(mask(&["plan"]), "plan"), (mask(&["state"]), "update_mask"), (None, "update_mask"), (mask(&["slug"]), "slug")]
    {
        let request = pb::UpdateOrganizationRequest { update_mask: paths, ..rename(&acme) };
        let status =
            refused(t.admin().organizations().update_organization(request).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), [field]);
    }
}

#[both]
async fn in_a_suspended_organization_only_platform_admins_change_anything(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let key = t.user_key(&ada).await;
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let update = t.with_key(&key).organizations().update_organization(rename(&acme)).await;
    refused(update, ErrorReason::OrganizationSuspended);
    t.admin().organizations().update_organization(rename(&acme)).await.unwrap();
}

#[both]
async fn a_plan_and_a_slug_that_may_no_longer_be_chosen_stay(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    t.database.execute("UPDATE cf_organizations SET plan = 'bronze', slug = 'admin'").await;
    let update = |plan: &str, slug: &str| pb::UpdateOrganizationRequest {
        plan: plan.to_owned(),
        slug: slug.to_owned(),
        update_mask: mask(&["plan", "slug"]),
        ..rename(&acme)
    };
    let mut organizations = t.admin().organizations();
    let kept = organizations.update_organization(update("bronze", "admin")).await.answered().organization.unwrap();
    assert_eq!((kept.plan.as_str(), kept.slug.as_str()), ("bronze", "admin"));
    let listed = pb::ListOrganizationsRequest { plan: "bronze".to_owned(), ..Default::default() };
    assert_eq!(organizations.list_organizations(listed).await.answered().organizations, [kept]);
    let unknown = organizations.update_organization(update("silver", "admin")).await;
    assert_eq!(fields(&refused(unknown, ErrorReason::InvalidArgument)), ["plan"]);
    let reserved = organizations.update_organization(update("pro", "login")).await;
    assert_eq!(fields(&refused(reserved, ErrorReason::OrganizationSlugReserved)), ["slug"]);
    let allowed = pb::UpdateOrganizationRequest { allow_reserved_slug: true, ..update("pro", "login") };
    let by_ada = t.with_key(&t.user_key(&ada).await).organizations().update_organization(allowed.clone()).await;
    refused(by_ada, ErrorReason::PlatformAdminRequired);
    assert_eq!(organizations.update_organization(allowed).await.answered().organization.unwrap().slug, "login");
}
