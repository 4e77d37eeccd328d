//! `AuthenticationService.SignIn`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use super::{claims, part, sign_in};
use crate::support::{
    Answered as _, MISSING_ID, Test, both,
    follow::{actions, list},
    given::{Issued as _, PASSWORD},
    refusal::reason_of,
    refused,
};

#[both]
async fn the_password_gives_a_session_and_an_access_token(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let request = pb::SignInRequest {
        email: user.email.to_uppercase(),
        password: PASSWORD.to_owned(),
        user_agent: "browser".to_owned(),
        ip_address: "192.0.2.1".to_owned(),
        ..Default::default()
    };
    let signed_in = t.admin().authentication().sign_in(request).await.answered().issued();
    let token = signed_in.session.unwrap();
    assert_eq!((token.user_agent.as_str(), token.ip_address.as_str()), ("browser", "192.0.2.1"));
    assert_eq!(token.user_id, user.id);
    assert!(signed_in.plaintext_token.starts_with("cf_rt_") && token.api_key_id.len() == 36);
    let (header, claims) = (part(&signed_in.access_token, 0), claims(&signed_in.access_token));
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    assert!(header["kid"].as_str().is_some_and(|kid| kid.len() == 36) && header.as_object().unwrap().len() == 3);
    assert_eq!(claims["sub"], user.id.as_str());
    assert_eq!(claims["sid"], token.id.as_str());
    assert_eq!(claims["client_id"], token.api_key_id.as_str());
    assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some("tenantry"), Some("tenantry")));
    let seconds = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(seconds("exp") - seconds("iat"), 600);
    // A clock that is a second behind would refuse it.
    assert!(claims.get("nbf").is_none());
    assert_eq!(signed_in.access_token_expires_at.unwrap().seconds, seconds("exp"));
    assert!(claims["jti"].is_string() && claims.get("org_id").is_none());
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: user.id, ..Default::default() }).await;
    for action in ["user.signed_in", "session.created"] {
        assert!(actions(&events).contains(&action), "{action}");
    }
}

#[both]
async fn an_access_token_for_an_organization_has_its_users_role_there(t: Arc<Test>) {
    let (owner, clerk) = (t.user("owner").await, t.user("clerk").await);
    let organization = t.organization(&owner).await;
    t.role(&organization, "clerk", &["invoices:read", "invoices:write"]).await;
    t.member(&clerk, &organization, "clerk").await;
    for user in [&owner, &clerk] {
        t.give_password(user).await;
    }
    let request = |user: &pb::User, organization_id: &str| pb::SignInRequest {
        email: user.email.clone(),
        password: PASSWORD.to_owned(),
        organization_id: organization_id.to_owned(),
        ..Default::default()
    };
    let of_owner = t.admin().authentication().sign_in(request(&owner, &organization.id)).await.answered().issued();
    let of_owner = claims(&of_owner.access_token);
    assert_eq!(
        (of_owner["org_id"].as_str(), of_owner["org_role"].as_str()),
        (Some(organization.id.as_str()), Some("owner"))
    );
    assert_eq!(of_owner["org_permissions"], serde_json::json!(["*"]));
    let of_clerk = t.admin().authentication().sign_in(request(&clerk, &organization.id)).await.answered().issued();
    assert_eq!(of_clerk.session.unwrap().organization_id, organization.id);
    let of_clerk = claims(&of_clerk.access_token);
    assert_eq!(of_clerk["org_role"], "clerk");
    let permissions = of_clerk["org_permissions"].as_array().unwrap();
    assert!(permissions.contains(&"invoices:write".into()) && permissions.contains(&"memberships:read".into()));
    assert!(!permissions.contains(&"memberships:write".into()));

    let other = t.organization(&owner).await;
    refused(t.admin().authentication().sign_in(request(&clerk, &other.id)).await, ErrorReason::OrganizationNotFound);
    refused(t.admin().authentication().sign_in(request(&clerk, MISSING_ID)).await, ErrorReason::OrganizationNotFound);
    let suspend = pb::SuspendOrganizationRequest { organization_id: organization.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    refused(
        t.admin().authentication().sign_in(request(&clerk, &organization.id)).await,
        ErrorReason::OrganizationSuspended,
    );
    // A caller without the password learns none of this.
    let wrong = pb::SignInRequest { password: "wrong".to_owned(), ..request(&clerk, &organization.id) };
    refused(t.admin().authentication().sign_in(wrong).await, ErrorReason::SignInRejected);
}

#[both]
async fn concurrent_sign_ins_with_an_imported_password_all_succeed(t: Arc<Test>) {
    for _ in 0..5 {
        let user = t.user("ada").await;
        t.give_password(&user).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (t, email) = (t.clone(), user.email.clone());
            calls.spawn(async move {
                loop {
                    match sign_in(&t, &email, PASSWORD).await {
                        // A busy machine cannot hash all of them in time; refused calls are retried as the answer says.
                        Err(status) if reason_of(&status) == "OVERLOADED" => {
                            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                        }
                        done => return done,
                    }
                }
            });
        }
        for signed_in in calls.join_all().await {
            signed_in.unwrap();
        }
    }
}

#[both]
async fn only_platform_admins_sign_users_in(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let organization = t.organization(&user).await;
    let request = pb::SignInRequest { email: user.email.clone(), password: PASSWORD.to_owned(), ..Default::default() };
    for key in [t.user_key(&user).await, t.organization_key(&organization).await, t.signed_in(&user).await.access_token]
    {
        refused(t.with_key(&key).authentication().sign_in(request.clone()).await, ErrorReason::PlatformAdminRequired);
    }
    let admin = t.first_admin().await;
    let (_, narrow) = t.key(Owner::UserId(admin.id), &["users:read"]).await;
    refused(t.with_key(&narrow).authentication().sign_in(request).await, ErrorReason::ScopeMissing);
}

#[both]
async fn an_empty_or_too_long_password_is_refused_before_the_user_is_read(t: Arc<Test>) {
    for password in [String::new(), "x".repeat(1025)] {
        refused(sign_in(&t, "nobody@example.com", &password).await, ErrorReason::InvalidArgument);
    }
    refused(sign_in(&t, "nobody@example.com", &"x".repeat(1024)).await, ErrorReason::SignInRejected);
}
