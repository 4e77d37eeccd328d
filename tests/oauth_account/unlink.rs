//! `OauthAccountService.UnlinkOauthAccount`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Test, both, refused};

fn unlink(account: &pb::OauthAccount) -> pb::UnlinkOauthAccountRequest {
    pb::UnlinkOauthAccountRequest { oauth_account_id: account.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn an_unlinked_account_is_gone_and_free(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let account = t.oauth_account(&ada).await;
    let mut eves = t.with_key(&t.user_key(&eve).await).oauth_accounts();
    refused(eves.unlink_oauth_account(unlink(&account)).await, ErrorReason::OauthAccountNotFound);
    let mut adas = t.with_key(&t.user_key(&ada).await).oauth_accounts();
    let stale = pb::UnlinkOauthAccountRequest { etag: "x".to_owned(), ..unlink(&account) };
    refused(adas.unlink_oauth_account(stale).await, ErrorReason::EtagMismatch);
    adas.unlink_oauth_account(unlink(&account)).await.unwrap();
    refused(adas.unlink_oauth_account(unlink(&account)).await, ErrorReason::OauthAccountNotFound);
    let again = pb::LinkOauthAccountRequest {
        user_id: eve.id,
        provider: "github".to_owned(),
        provider_user_id: account.provider_user_id,
        ..Default::default()
    };
    t.admin().oauth_accounts().link_oauth_account(again).await.unwrap();
}
