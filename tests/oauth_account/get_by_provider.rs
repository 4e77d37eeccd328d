//! `OauthAccountService.GetOauthAccountByProvider`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn by(provider: &str, subject: &str) -> pb::GetOauthAccountByProviderRequest {
    pb::GetOauthAccountByProviderRequest { provider: provider.to_owned(), provider_user_id: subject.to_owned() }
}

#[both]
async fn the_providers_name_finds_the_account(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let account = t.oauth_account(&ada).await;
    let request = by("github", &account.provider_user_id);
    let got = t.admin().oauth_accounts().get_oauth_account_by_provider(request.clone()).await.answered();
    assert_eq!(got.oauth_account.unwrap(), account);
    let mut eves = t.with_key(&t.user_key(&eve).await).oauth_accounts();
    refused(eves.get_oauth_account_by_provider(request).await, ErrorReason::OauthAccountNotFound);
    let other = by("gitlab", &account.provider_user_id);
    refused(t.admin().oauth_accounts().get_oauth_account_by_provider(other).await, ErrorReason::OauthAccountNotFound);
}

#[both]
async fn the_account_of_a_deleted_user_is_not_found(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    t.admin()
        .users()
        .delete_user(pb::DeleteUserRequest { user_id: ada.id, etag: String::new(), ..Default::default() })
        .await
        .unwrap();
    let get = t.admin().oauth_accounts().get_oauth_account_by_provider(by("github", &account.provider_user_id)).await;
    refused(get, ErrorReason::OauthAccountNotFound);
}

#[both]
async fn an_empty_name_is_refused(t: Arc<Test>) {
    refused(t.admin().oauth_accounts().get_oauth_account_by_provider(by("", "")).await, ErrorReason::InvalidArgument);
}
