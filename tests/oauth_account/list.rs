//! `OauthAccountService.ListOauthAccounts`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn list(user: &pb::User) -> pb::ListOauthAccountsRequest {
    pb::ListOauthAccountsRequest { user_id: user.id.clone(), ..Default::default() }
}

#[both]
async fn the_accounts_of_a_user_are_listed_by_provider(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (one, two) = (t.oauth_account(&ada).await, t.oauth_account(&ada).await);
    t.oauth_account(&bob).await;
    let mut accounts = t.with_key(&t.user_key(&ada).await).oauth_accounts();
    let page = accounts.list_oauth_accounts(list(&ada)).await.answered();
    assert_eq!(page.oauth_accounts, [one, two]);
    let none = pb::ListOauthAccountsRequest { provider: "gitlab".to_owned(), ..list(&ada) };
    assert!(accounts.list_oauth_accounts(none).await.answered().oauth_accounts.is_empty());
    refused(accounts.list_oauth_accounts(list(&bob)).await, ErrorReason::UserNotFound);
}

#[both]
async fn a_colleagues_accounts_are_not_for_the_asking(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        refused(
            t.with_key(&key).oauth_accounts().list_oauth_accounts(list(&bob)).await,
            ErrorReason::PlatformAdminRequired,
        );
    }
}
