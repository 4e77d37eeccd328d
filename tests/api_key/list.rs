//! `ApiKeyService.ListApiKeys`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner, list_api_keys_request};

use crate::support::{Answered as _, Test, both, refused};

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
