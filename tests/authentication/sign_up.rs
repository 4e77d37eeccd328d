//! `AuthenticationService.SignUp`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::sign_in;
use crate::support::{
    Answered as _, Test, both,
    follow::{actions, list},
    given::unique,
    refusal::fields,
    refused,
};

const PHRASE: &str = "seven wet dogs on a boat";

fn new() -> pb::SignUpRequest {
    pb::SignUpRequest {
        email: format!("{}@example.com", unique("new")),
        name: "New".to_owned(),
        password: PHRASE.to_owned(),
        ..Default::default()
    }
}

#[both]
async fn a_new_user_can_sign_in_and_owns_the_organization(t: Arc<Test>) {
    let request =
        pb::SignUpRequest { organization_name: "Harbour".to_owned(), organization_slug: unique("harbour-"), ..new() };
    let created = t.admin().authentication().sign_up(request.clone()).await.answered();
    let (user, organization) = (created.user.unwrap(), created.organization.unwrap());
    assert!(user.email_verified_at.is_none() && organization.slug == request.organization_slug);
    assert_eq!(t.membership(&user.id, &organization.id).await.unwrap().role, "owner");
    assert_eq!(sign_in(&t, &user.email, PHRASE).await.unwrap().session.unwrap().user_id, user.id);
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: user.id, ..Default::default() }).await;
    for action in ["user.created", "user.password_set", "membership.created"] {
        assert!(actions(&events).contains(&action), "{action}");
    }
}

#[both]
async fn a_sign_up_that_fails_in_its_last_step_leaves_nothing(t: Arc<Test>) {
    let taken = t.organization(&t.user("owner").await).await;
    let rows = t.database.rows().await;
    let request = pb::SignUpRequest { organization_name: "Harbour".to_owned(), organization_slug: taken.slug, ..new() };
    refused(t.admin().authentication().sign_up(request.clone()).await, ErrorReason::OrganizationSlugTaken);
    assert_eq!(t.database.rows().await, rows);
    let request = pb::SignUpRequest { organization_name: String::new(), ..request };
    let status = refused(t.admin().authentication().sign_up(request).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["organization_name"]);
}

#[both]
async fn a_password_that_breaks_a_rule_and_an_email_that_somebody_has_are_refused(t: Arc<Test>) {
    let request = pb::SignUpRequest { password: "short".to_owned(), ..new() };
    let status = refused(t.admin().authentication().sign_up(request).await, ErrorReason::PasswordUnacceptable);
    assert_eq!(fields(&status), ["password"]);
    let taken = t.user("taken").await;
    let request = pb::SignUpRequest { email: taken.email.to_uppercase(), ..new() };
    refused(t.admin().authentication().sign_up(request).await, ErrorReason::UserEmailTaken);
    let user = t.with_key(&t.user_key(&taken).await);
    refused(user.authentication().sign_up(new()).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn the_organization_of_a_sign_up_has_no_reserved_slug_and_the_first_plan(t: Arc<Test>) {
    let request = |slug: &str| pb::SignUpRequest {
        organization_name: "Harbour".to_owned(),
        organization_slug: slug.to_owned(),
        ..new()
    };
    // The key is a platform admin's, but the person who signs up chooses the slug.
    let status =
        refused(t.admin().authentication().sign_up(request("admin")).await, ErrorReason::OrganizationSlugReserved);
    assert_eq!(fields(&status), ["organization_slug"]);
    let created = t.admin().authentication().sign_up(request(&unique("harbour-"))).await.answered();
    assert_eq!(created.organization.unwrap().plan, "free");
}
