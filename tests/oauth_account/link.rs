//! `OauthAccountService.LinkOauthAccount`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refusal::fields, refused};

fn link(user: &pb::User, subject: &str) -> pb::LinkOauthAccountRequest {
    pb::LinkOauthAccountRequest {
        user_id: user.id.clone(),
        provider: "github".to_owned(),
        provider_user_id: subject.to_owned(),
        scopes: vec!["repo".to_owned(), "read:user".to_owned()],
        tokens: Some(pb::OauthTokens { access_token: Some("canary-access".to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

#[both]
async fn an_account_is_linked_once(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let linked = t.admin().oauth_accounts().link_oauth_account(link(&ada, "1")).await.answered();
    let account = linked.oauth_account.unwrap();
    assert!(account.has_access_token && !account.has_refresh_token);
    assert_eq!(account.scopes, ["repo", "read:user"]);
    for user in [&ada, &eve] {
        refused(t.admin().oauth_accounts().link_oauth_account(link(user, "1")).await, ErrorReason::OauthAccountLinked);
    }
    let elsewhere = pb::LinkOauthAccountRequest { provider: "gitlab".to_owned(), ..link(&eve, "1") };
    t.admin().oauth_accounts().link_oauth_account(elsewhere).await.unwrap();
    // Ids that the provider distinguishes stay distinct.
    t.admin().oauth_accounts().link_oauth_account(link(&eve, "A")).await.unwrap();
    t.admin().oauth_accounts().link_oauth_account(link(&eve, "a")).await.unwrap();
}

#[both]
async fn only_the_credential_of_the_sign_in_links_an_account(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let claim = t.with_key(&key).oauth_accounts().link_oauth_account(link(&ada, "583231")).await;
        refused(claim, ErrorReason::PlatformAdminRequired);
    }
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(t.admin().oauth_accounts().link_oauth_account(link(&missing, "1")).await, ErrorReason::UserNotFound);
}

#[both]
async fn every_violation_is_reported_at_once(t: Arc<Test>) {
    let request = pb::LinkOauthAccountRequest {
        user_id: "x".to_owned(),
        provider: "Git Hub".to_owned(),
        provider_user_id: "\0".to_owned(),
        email: "x".to_owned(),
        scopes: vec!["a b".to_owned()],
        tokens: Some(pb::OauthTokens {
            access_token: Some("\n".to_owned()),
            refresh_token: Some("x".repeat(17_000)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let status = refused(t.admin().oauth_accounts().link_oauth_account(request).await, ErrorReason::InvalidArgument);
    let all = [
        "user_id",
        "provider",
        "provider_user_id",
        "email",
        "scopes[0]",
        "tokens.access_token",
        "tokens.refresh_token",
    ];
    assert_eq!(fields(&status), all);
}
