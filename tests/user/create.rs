//! `UserService.CreateUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, object, refusal::fields, refused};

fn new(email: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest { email: email.to_owned(), name: "Ada".to_owned(), ..Default::default() }
}

#[both]
async fn a_created_user_is_answered_and_found(t: Arc<Test>) {
    let request = pb::CreateUserRequest {
        avatar_url: "https://example.com/a.png".to_owned(),
        metadata: object("team", "engines"),
        email_verified: true,
        ..new("Ada@Example.com")
    };
    let user = t.admin().users().create_user(request).await.answered().user.unwrap();
    assert_eq!(user.email, "Ada@Example.com");
    assert_eq!(user.state(), pb::UserState::Active);
    assert_eq!(user.metadata, object("team", "engines"));
    assert!(user.email_verified_at.is_some() && user.created_at.is_some() && !user.is_platform_admin);
    assert_eq!(t.reload_user(&user.id).await, user);
}

#[both]
async fn an_email_in_another_spelling_is_taken(t: Arc<Test>) {
    t.admin().users().create_user(new("ada@example.com")).await.unwrap();
    for spelling in ["ada@example.com", "ADA@EXAMPLE.COM", "\u{ff41}da@example.com"] {
        refused(t.admin().users().create_user(new(spelling)).await, ErrorReason::UserEmailTaken);
    }
}

#[both]
async fn of_many_that_want_one_email_one_gets_it(t: Arc<Test>) {
    let calls = (0..16).map(|_| {
        let mut users = t.admin().users();
        tokio::spawn(async move { users.create_user(new("race@example.com")).await })
    });
    let mut won = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => won += 1,
            refusal => drop(refused(refusal, ErrorReason::UserEmailTaken)),
        }
    }
    assert_eq!(won, 1);
}

#[both]
async fn every_violation_is_reported_at_once(t: Arc<Test>) {
    let request = pb::CreateUserRequest {
        email: "nobody".to_owned(),
        name: "\0".to_owned(),
        avatar_url: "javascript:alert(1)".to_owned(),
        metadata: object("a", &"x".repeat(20_000)),
        ..Default::default()
    };
    let status = refused(t.admin().users().create_user(request).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["email", "name", "avatar_url", "metadata"]);
}

#[both]
async fn only_a_platform_admin_creates_users(t: Arc<Test>) {
    let user = t.user("ada").await;
    let key = t.user_key(&user).await;
    refused(t.with_key(&key).users().create_user(new("x@example.com")).await, ErrorReason::PlatformAdminRequired);
}
