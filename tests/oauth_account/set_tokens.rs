//! `OauthAccountService.SetOauthAccountTokens`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused, time_in};

fn set(account: &pb::OauthAccount, tokens: Option<pb::OauthTokens>) -> pb::SetOauthAccountTokensRequest {
    pb::SetOauthAccountTokensRequest {
        oauth_account_id: account.id.clone(),
        tokens,
        etag: String::new(),
        ..Default::default()
    }
}

#[both]
async fn the_stored_tokens_are_replaced(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    let tokens = pb::OauthTokens {
        access_token: Some("new".to_owned()),
        refresh_token: Some(String::new()),
        token_expires_at: time_in(&t, 60),
    };
    let mut accounts = t.with_key(&t.user_key(&ada).await).oauth_accounts();
    let after = accounts.set_oauth_account_tokens(set(&account, Some(tokens.clone()))).await.answered();
    let after = after.oauth_account.unwrap();
    assert!(after.has_access_token && !after.has_refresh_token && after.token_expires_at == tokens.token_expires_at);
    let get = pb::GetOauthAccountTokensRequest { oauth_account_id: account.id };
    let stored = pb::OauthTokens { refresh_token: None, ..tokens };
    assert_eq!(accounts.get_oauth_account_tokens(get).await.answered().tokens.unwrap(), stored);
}

#[both]
async fn an_unset_token_is_kept_and_an_empty_one_removed(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    let mut accounts = t.with_key(&t.user_key(&ada).await).oauth_accounts();
    let get = pb::GetOauthAccountTokensRequest { oauth_account_id: account.id.clone() };
    let text = |text: &str| Some(text.to_owned());
    let expires = time_in(&t, 60);
    for (access, refresh, expiry, stored) in [
        // The first sign-in, then those at which the provider returns no refresh token.
        (text("at1"), text("rt"), expires, (text("at1"), text("rt"), expires)),
        (text("at2"), None, None, (text("at2"), text("rt"), None)),
        (None, None, expires, (text("at2"), text("rt"), expires)),
        (None, text("rt2"), None, (text("at2"), text("rt2"), expires)),
        (text(""), None, None, (None, text("rt2"), None)),
        (None, text(""), None, (None, None, None)),
    ] {
        let tokens = pb::OauthTokens { access_token: access, refresh_token: refresh, token_expires_at: expiry };
        let after = accounts.set_oauth_account_tokens(set(&account, Some(tokens))).await.answered();
        let after = after.oauth_account.unwrap();
        assert_eq!((after.has_access_token, after.has_refresh_token), (stored.0.is_some(), stored.1.is_some()));
        let tokens = accounts.get_oauth_account_tokens(get.clone()).await.answered().tokens.unwrap();
        assert_eq!((tokens.access_token, tokens.refresh_token, tokens.token_expires_at), stored);
    }
}

#[both]
async fn a_foreign_account_a_stale_etag_and_no_tokens_are_refused(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let account = t.oauth_account(&ada).await;
    let tokens = Some(pb::OauthTokens::default());
    let mut eves = t.with_key(&t.user_key(&eve).await).oauth_accounts();
    refused(eves.set_oauth_account_tokens(set(&account, tokens.clone())).await, ErrorReason::OauthAccountNotFound);
    refused(
        t.admin().oauth_accounts().set_oauth_account_tokens(set(&account, None)).await,
        ErrorReason::InvalidArgument,
    );
    let stale = pb::SetOauthAccountTokensRequest { etag: "r0".to_owned(), ..set(&account, tokens) };
    refused(t.admin().oauth_accounts().set_oauth_account_tokens(stale).await, ErrorReason::EtagMismatch);
}
