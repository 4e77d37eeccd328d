//! `OauthAccountService.GetOauthAccount`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn get(id: &str) -> pb::GetOauthAccountRequest {
    pb::GetOauthAccountRequest { oauth_account_id: id.to_owned() }
}

#[both]
async fn its_user_sees_it_and_no_one_else(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let account = t.oauth_account(&bob).await;
    let own = t.with_key(&t.user_key(&bob).await).oauth_accounts().get_oauth_account(get(&account.id)).await.unwrap();
    assert_eq!(own.into_inner().oauth_account.unwrap(), account);
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let mut accounts = t.with_key(&key).oauth_accounts();
        refused(accounts.get_oauth_account(get(&account.id)).await, ErrorReason::OauthAccountNotFound);
        refused(accounts.get_oauth_account(get(MISSING_ID)).await, ErrorReason::OauthAccountNotFound);
    }
}

#[both]
async fn it_never_carries_a_token(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let account = t.oauth_account(&ada).await;
    let got = t.admin().oauth_accounts().get_oauth_account(get(&account.id)).await.answered();
    assert!(!format!("{got:?}").contains("canary"));
}
