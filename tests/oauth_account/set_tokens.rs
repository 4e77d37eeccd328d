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
        access_token: "new".to_owned(),
        refresh_token: String::new(),
        token_expires_at: time_in(&t, 60),
    };
    let mut accounts = t.with_key(&t.user_key(&ada).await).oauth_accounts();
    let after = accounts.set_oauth_account_tokens(set(&account, Some(tokens.clone()))).await.answered();
    let after = after.oauth_account.unwrap();
    assert!(after.has_access_token && !after.has_refresh_token && after.token_expires_at == tokens.token_expires_at);
    let get = pb::GetOauthAccountTokensRequest { oauth_account_id: account.id };
    assert_eq!(accounts.get_oauth_account_tokens(get).await.answered().tokens.unwrap(), tokens);
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
