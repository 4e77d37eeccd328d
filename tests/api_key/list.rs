//! `ApiKeyService.ListApiKeys`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner, list_api_keys_request};

use crate::support::{Answered as _, Test, both, refused, time_in};

fn of_user(user: &pb::User) -> pb::ListApiKeysRequest {
    pb::ListApiKeysRequest { owner: Some(list_api_keys_request::Owner::UserId(user.id.clone())), ..Default::default() }
}

fn of_organization(organization: &pb::Organization) -> pb::ListApiKeysRequest {
    let owner = list_api_keys_request::Owner::OrganizationId(organization.id.clone());
    pb::ListApiKeysRequest { owner: Some(owner), ..Default::default() }
}

#[both]
async fn the_keys_of_an_owner_are_listed_without_secrets(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let (one, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let (two, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: two.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let mut adas = t.with_key(&t.user_key(&ada).await).api_keys();
    let page = adas.list_api_keys(of_organization(&acme)).await.answered();
    assert!(!format!("{page:?}").contains(&text[20..]));
    assert_eq!(page.api_keys, [one]);
    let all = pb::ListApiKeysRequest { include_revoked: true, ..of_organization(&acme) };
    assert_eq!(adas.list_api_keys(all).await.answered().api_keys.len(), 2);
    assert_eq!(adas.list_api_keys(of_user(&ada)).await.answered().api_keys.len(), 1);
    refused(adas.list_api_keys(of_user(&bob)).await, ErrorReason::PlatformAdminRequired);
    refused(adas.list_api_keys(of_user(&eve)).await, ErrorReason::UserNotFound);
    refused(adas.list_api_keys(pb::ListApiKeysRequest::default()).await, ErrorReason::InvalidArgument);
    let mut bobs = t.with_key(&t.user_key(&bob).await).api_keys();
    refused(bobs.list_api_keys(of_organization(&acme)).await, ErrorReason::RoleInsufficient);
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    refused(eves.list_api_keys(of_organization(&acme)).await, ErrorReason::OrganizationNotFound);
}

#[both(options = ["--usage-interval", "50ms"])]
async fn keys_are_found_by_name_creator_expiry_and_last_use(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let make = async |api: &crate::support::Api, name: &str, expires_in: Option<i64>| {
        let request = pb::CreateApiKeyRequest {
            owner: Some(Owner::OrganizationId(acme.id.clone())),
            name: name.to_owned(),
            scopes: vec!["users:read".to_owned()],
            environment: pb::ApiKeyEnvironment::Live.into(),
            expires_at: expires_in.and_then(|seconds| time_in(&t, seconds)),
            ..Default::default()
        };
        api.api_keys().create_api_key(request).await.answered()
    };
    let (adas, bobs) = (t.with_key(&t.user_key(&ada).await), t.with_key(&t.user_key(&bob).await));
    let used = make(&adas, "Déploiement", Some(3600)).await;
    let (key, used) = (used.plaintext_key, used.api_key.unwrap());
    make(&bobs, "Backup 100%", Some(2 * 24 * 3600)).await;
    make(&bobs, "deploy again", None).await;
    make(&t.admin(), "by the platform", None).await;
    t.with_key(&key).users().list_users(pb::ListUsersRequest::default()).await.unwrap();
    let last_use = "SELECT CAST(count(*) AS text) AS value FROM cf_api_keys WHERE name LIKE 'D%ploiement' AND last_used_at IS NOT NULL";
    while t.database.texts(last_use).await != ["1"] {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found = async |request: pb::ListApiKeysRequest| {
        let request = pb::ListApiKeysRequest { owner: of_organization(&acme).owner, ..request };
        let page = adas.api_keys().list_api_keys(request).await.answered();
        page.api_keys.into_iter().map(|key| key.name).collect::<Vec<_>>()
    };
    let query = |text: &str| pb::ListApiKeysRequest { query: text.to_owned(), ..Default::default() };
    assert_eq!(found(query("DEPLO")).await, ["Déploiement", "deploy again"]);
    assert_eq!(found(query("%")).await, ["Backup 100%"]);
    let newest = pb::ListApiKeysRequest { order: pb::Order::NewestFirst.into(), ..query("deplo") };
    assert_eq!(found(newest).await, ["deploy again", "Déploiement"]);
    let created_by = |user: &str| pb::ListApiKeysRequest { created_by: user.to_owned(), ..Default::default() };
    assert_eq!(found(created_by(&bob.id)).await, ["Backup 100%", "deploy again"]);
    assert_eq!(found(created_by(&t.first_admin().await.id)).await, Vec::<String>::new(), "not disclosed");
    let day = time_in(&t, 24 * 3600);
    let soon = pb::ListApiKeysRequest { expires_before: day, ..Default::default() };
    assert_eq!(found(soon).await, ["Déploiement"]);
    let later = pb::ListApiKeysRequest { expires_from: day, ..Default::default() };
    assert_eq!(found(later).await, ["Backup 100%"]);
    let unused = pb::ListApiKeysRequest { last_used_before: used.created_at, ..Default::default() };
    assert_eq!(found(unused).await, ["Backup 100%", "deploy again", "by the platform"]);
    let active = pb::ListApiKeysRequest { last_used_from: ada.created_at, ..Default::default() };
    assert_eq!(found(active.clone()).await, ["Déploiement"]);
    // The list shows the last use, and an event never does.
    let request = pb::ListApiKeysRequest { owner: of_organization(&acme).owner, ..active };
    let listed = adas.api_keys().list_api_keys(request).await.answered().api_keys.remove(0);
    let get = pb::GetApiKeyRequest { api_key_id: listed.id.clone() };
    let got = adas.api_keys().get_api_key(get).await.answered();
    assert_eq!(got.secrets[0].last_used_at, listed.last_used_at);
    assert_eq!(got.api_key, Some(listed.clone()));
    assert!(listed.last_used_at.is_some() && used.last_used_at.is_none());
    refused(
        adas.api_keys()
            .list_api_keys(pb::ListApiKeysRequest { owner: of_organization(&acme).owner, ..query(" ") })
            .await,
        ErrorReason::InvalidArgument,
    );
}
