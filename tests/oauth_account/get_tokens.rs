//! `OauthAccountService.GetOauthAccountTokens`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, refused};

fn get(account: &pb::OauthAccount) -> pb::GetOauthAccountTokensRequest {
    pb::GetOauthAccountTokensRequest { oauth_account_id: account.id.clone() }
}

#[both]
async fn sealed_tokens_are_opened(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    let tokens = t.admin().oauth_accounts().get_oauth_account_tokens(get(&account)).await.answered();
    let tokens = tokens.tokens.unwrap();
    assert_eq!((tokens.access_token(), tokens.refresh_token()), ("canary-access", "canary-refresh"));
}

#[both]
async fn it_has_a_scope_of_its_own(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    let owner = || Owner::UserId(ada.id.clone());
    let (_, narrow) = t.key(owner(), &["oauth_accounts:*"]).await;
    refused(
        t.with_key(&narrow).oauth_accounts().get_oauth_account_tokens(get(&account)).await,
        ErrorReason::ScopeMissing,
    );
    let (_, right) = t.key(owner(), &["oauth_account_tokens:read"]).await;
    t.with_key(&right).oauth_accounts().get_oauth_account_tokens(get(&account)).await.unwrap();
}

#[both]
async fn a_foreign_account_is_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let account = t.oauth_account(&ada).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).oauth_accounts();
    refused(eves.get_oauth_account_tokens(get(&account)).await, ErrorReason::OauthAccountNotFound);
}

#[both]
async fn a_token_moved_to_another_row_or_column_does_not_open(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (adas, eves) = (t.oauth_account(&ada).await, t.oauth_account(&eve).await);
    let subject = |account: &pb::OauthAccount| account.provider_user_id.clone();
    t.database.execute(&format!(
        "UPDATE cf_oauth_accounts SET access_token = (SELECT access_token FROM cf_oauth_accounts WHERE provider_user_id = '{}') \
         WHERE provider_user_id = '{}'",
        subject(&adas), subject(&eves),
    )).await;
    t.database
        .execute(&format!(
            "UPDATE cf_oauth_accounts SET refresh_token = access_token WHERE provider_user_id = '{}'",
            subject(&adas),
        ))
        .await;
    for account in [adas, eves] {
        let opened = t.admin().oauth_accounts().get_oauth_account_tokens(get(&account)).await;
        refused(opened, ErrorReason::SealedValueUnreadable);
    }
}
