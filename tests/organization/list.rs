//! `OrganizationService.ListOrganizations`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

async fn make(t: &Test, owner: &pb::User, name: &str, plan: &str) -> pb::Organization {
    let request = pb::CreateOrganizationRequest {
        name: name.to_owned(),
        owner_user_id: owner.id.clone(),
        plan: plan.to_owned(),
        ..Default::default()
    };
    t.admin().organizations().create_organization(request).await.answered().organization.unwrap()
}

async fn names(t: &Test, request: pb::ListOrganizationsRequest) -> Vec<String> {
    let page = t.admin().organizations().list_organizations(request).await.answered();
    page.organizations.into_iter().map(|organization| organization.name).collect()
}

#[both]
async fn organizations_are_listed_by_plan_state_and_member(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let one = make(&t, &ada, "One", "free").await;
    make(&t, &bob, "Two", "pro").await;
    make(&t, &ada, "Three", "pro").await;
    let by_plan = pb::ListOrganizationsRequest { plan: "pro".to_owned(), ..Default::default() };
    assert_eq!(names(&t, by_plan).await, ["Two", "Three"]);
    let by_member = pb::ListOrganizationsRequest { member_user_id: ada.id.clone(), ..Default::default() };
    assert_eq!(names(&t, by_member.clone()).await, ["One", "Three"]);
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: one.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let by_state = pb::ListOrganizationsRequest { state: pb::OrganizationState::Suspended.into(), ..by_member };
    assert_eq!(names(&t, by_state).await, ["One"]);
}

#[both]
async fn a_name_prefix_ignores_case_and_orders_by_name(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for name in ["acorn", "Acme", "ACE", "Zebra", "\u{c9}clair"] {
        make(&t, &ada, name, "free").await;
    }
    let mut request = pb::ListOrganizationsRequest { name_prefix: "aC".to_owned(), page_size: 2, ..Default::default() };
    let page = t.admin().organizations().list_organizations(request.clone()).await.answered();
    request.page_token = page.next_page_token;
    assert_eq!(page.organizations.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["ACE", "Acme"]);
    assert_eq!(names(&t, request).await, ["acorn"]);
    let accent = pb::ListOrganizationsRequest { name_prefix: "e\u{301}C".to_owned(), ..Default::default() };
    assert_eq!(names(&t, accent).await, ["\u{c9}clair"]);
}

#[both]
async fn a_caller_lists_what_it_reaches(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = make(&t, &ada, "Acme", "free").await;
    make(&t, &eve, "Evil", "free").await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let all = pb::ListOrganizationsRequest::default();
        let page = t.with_key(&key).organizations().list_organizations(all).await.answered();
        assert_eq!(page.organizations, std::slice::from_ref(&acme));
        let of_eve = pb::ListOrganizationsRequest { member_user_id: eve.id.clone(), ..Default::default() };
        refused(t.with_key(&key).organizations().list_organizations(of_eve).await, ErrorReason::UserNotFound);
        let deleted =
            pb::ListOrganizationsRequest { state: pb::OrganizationState::Deleted.into(), ..Default::default() };
        let list = t.with_key(&key).organizations().list_organizations(deleted).await;
        refused(list, ErrorReason::PlatformAdminRequired);
    }
}

#[both]
async fn organizations_are_found_by_a_part_of_their_name_or_slug(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    for (owner, name) in [(&ada, "Café Zürich"), (&ada, "Zebra Works"), (&bob, "Works of Bob")] {
        make(&t, owner, name, "free").await;
    }
    let by = |query: &str| pb::ListOrganizationsRequest { query: query.to_owned(), ..Default::default() };
    for _ in 0..2 {
        assert_eq!(names(&t, by("WORKS")).await, ["Zebra Works", "Works of Bob"]);
        assert_eq!(names(&t, by("cafe z")).await, ["Café Zürich"]);
        assert_eq!(names(&t, by("cafe-z")).await, ["Café Zürich"], "by the slug");
        assert_eq!(names(&t, by("e")).await, ["Café Zürich", "Zebra Works"]);
        assert_eq!(names(&t, by("%")).await, Vec::<String>::new());
        let newest = pb::ListOrganizationsRequest { order: pb::Order::NewestFirst.into(), ..by("works") };
        assert_eq!(names(&t, newest).await, ["Works of Bob", "Zebra Works"]);
        let of_ada = pb::ListOrganizationsRequest { member_user_id: ada.id.clone(), ..by("works") };
        assert_eq!(names(&t, of_ada).await, ["Zebra Works"]);
        t.database.indexed().await;
    }
    // Others find nothing but their own.
    let own = t.with_key(&t.user_key(&bob).await).organizations().list_organizations(by("works")).await.answered();
    assert_eq!(own.organizations.len(), 1);
    let key = t.organization_key(&own.organizations[0]).await;
    for (query, count) in [("works", 1), ("zebra", 0)] {
        let page = t.with_key(&key).organizations().list_organizations(by(query)).await.answered();
        assert_eq!(page.organizations.len(), count);
    }
    for request in
        [by(&"x".repeat(101)), by(" "), pb::ListOrganizationsRequest { name_prefix: "a".to_owned(), ..by("a") }]
    {
        refused(t.admin().organizations().list_organizations(request).await, ErrorReason::InvalidArgument);
    }
}
