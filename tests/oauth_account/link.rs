//! `OAuthAccountService.LinkOAuthAccount`.

use tenantry::pb::{self, ErrorReason};

use crate::support::{both, refusal::fields, refused};

fn link(user: &pb::User, subject: &str) -> pb::LinkOAuthAccountRequest {
    pb::LinkOAuthAccountRequest {
        user_id: user.id.clone(),
        provider: "github".to_owned(),
        provider_user_id: subject.to_owned(),
        scopes: vec!["repo".to_owned(), "read:user".to_owned()],
        tokens: Some(pb::OAuthTokens { access_token: "canary-access".to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

both! {
    async fn an_account_is_linked_once(t) {
        let (ada, eve) = (t.user("ada").await, t.user("eve").await);
        let linked = t.admin().oauth_accounts().link_o_auth_account(link(&ada, "1")).await.unwrap().into_inner();
        let account = linked.oauth_account.unwrap();
        assert!(account.has_access_token && !account.has_refresh_token);
        assert_eq!(account.scopes, ["repo", "read:user"]);
        for user in [&ada, &eve] {
            refused(t.admin().oauth_accounts().link_o_auth_account(link(user, "1")).await, ErrorReason::OauthAccountLinked);
        }
        let elsewhere = pb::LinkOAuthAccountRequest { provider: "gitlab".to_owned(), ..link(&eve, "1") };
        t.admin().oauth_accounts().link_o_auth_account(elsewhere).await.unwrap();
        // What the provider tells apart stays apart.
        t.admin().oauth_accounts().link_o_auth_account(link(&eve, "A")).await.unwrap();
        t.admin().oauth_accounts().link_o_auth_account(link(&eve, "a")).await.unwrap();
    }

    async fn a_user_links_its_own_accounts_only(t) {
        let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
        let acme = t.organization(&ada).await;
        t.member(&bob, &acme, "member").await;
        let mut accounts = t.with_key(&t.user_key(&ada).await).oauth_accounts();
        accounts.link_o_auth_account(link(&ada, "own")).await.unwrap();
        refused(accounts.link_o_auth_account(link(&bob, "colleague")).await, ErrorReason::PlatformAdminRequired);
        refused(accounts.link_o_auth_account(link(&eve, "stranger")).await, ErrorReason::UserNotFound);
        let mut accounts = t.with_key(&t.organization_key(&acme).await).oauth_accounts();
        refused(accounts.link_o_auth_account(link(&bob, "member")).await, ErrorReason::PlatformAdminRequired);
    }

    async fn every_violation_is_told_at_once(t) {
        let request = pb::LinkOAuthAccountRequest {
            user_id: "x".to_owned(),
            provider: "Git Hub".to_owned(),
            provider_user_id: "\0".to_owned(),
            email: "x".to_owned(),
            scopes: vec!["a b".to_owned()],
            tokens: Some(pb::OAuthTokens { access_token: "\n".to_owned(), refresh_token: "x".repeat(17_000), ..Default::default() }),
        };
        let status = refused(t.admin().oauth_accounts().link_o_auth_account(request).await, ErrorReason::InvalidArgument);
        let all = ["user_id", "provider", "provider_user_id", "email", "scopes[0]", "tokens.access_token", "tokens.refresh_token"];
        assert_eq!(fields(&status), all);
    }
}
