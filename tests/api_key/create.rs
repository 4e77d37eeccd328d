//! `ApiKeyService.CreateApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, mask, object, refusal::fields, refused, time_in};

fn new(owner: Owner, scopes: &[&str]) -> pb::CreateApiKeyRequest {
    pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: "ci".to_owned(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        environment: pb::ApiKeyEnvironment::Test.into(),
        ..Default::default()
    }
}

fn of_user(user: &pb::User) -> Owner {
    Owner::UserId(user.id.clone())
}

fn of_organization(organization: &pb::Organization) -> Owner {
    Owner::OrganizationId(organization.id.clone())
}

#[both]
async fn a_role_that_may_write_keys_creates_no_stronger_key(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "clerk", &["api_keys:*", "invoices:*"]).await;
    t.member(&bob, &acme, "clerk").await;
    let carls = t.member(&carl, &acme, "viewer").await;
    let of_acme = |scopes: &[&str]| pb::CreateApiKeyRequest {
        owner: Some(Owner::OrganizationId(acme.id.clone())),
        name: "created".to_owned(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        environment: 1,
        ..Default::default()
    };
    let mut bobs = t.with_key(&t.user_key(&bob).await).api_keys();
    for more in ["*", "memberships:write", "roles:*", "organizations:write", "permissions:check"] {
        refused(bobs.create_api_key(of_acme(&[more])).await, ErrorReason::RoleInsufficient);
    }
    let created = bobs.create_api_key(of_acme(&["invoices:read", "users:read"])).await.answered().api_key.unwrap();
    let widen = |id: &str, scopes: &[&str]| pb::UpdateApiKeyRequest {
        api_key_id: id.to_owned(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        update_mask: mask(&["scopes"]),
        ..Default::default()
    };
    refused(bobs.update_api_key(widen(&created.id, &["memberships:write"])).await, ErrorReason::RoleInsufficient);
    bobs.update_api_key(widen(&created.id, &["invoices:*"])).await.unwrap();
    // It gets no secret of another key either.
    let (strong, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let rotate = |id: &str| pb::RotateApiKeyRequest { api_key_id: id.to_owned(), ..Default::default() };
    refused(bobs.rotate_api_key(rotate(&strong.id)).await, ErrorReason::RoleInsufficient);
    bobs.rotate_api_key(rotate(&created.id)).await.unwrap();
    // A key with only `memberships:write` cannot grant permissions that it does not hold.
    let (_, narrow) = t.key(Owner::OrganizationId(acme.id.clone()), &["memberships:write"]).await;
    let promote = |role: &str| pb::UpdateMembershipRequest {
        membership_id: carls.id.clone(),
        role: role.to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(t.with_key(&narrow).memberships().update_membership(promote("admin")).await, ErrorReason::ScopeNotHeld);
    t.with_key(&narrow).memberships().update_membership(promote("viewer")).await.unwrap();
    t.with_key(&t.organization_key(&acme).await).memberships().update_membership(promote("admin")).await.unwrap();
}

#[both]
async fn a_key_has_one_form_and_tells_its_secret_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::CreateApiKeyRequest {
        metadata: object("a", "b"),
        expires_at: time_in(&t, 60),
        ..new(of_user(&ada), &["users:write", "users:read", "users:read"])
    };
    let created = t.admin().api_keys().create_api_key(request).await.answered();
    let (key, text) = (created.api_key.unwrap(), created.plaintext_key);
    assert!(text.starts_with("cf_test_") && text.len() == 69 && text[8..].bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_eq!(key.prefix, text[..20]);
    assert_eq!(key.scopes, ["users:read", "users:write"]);
    // Tenants do not see which platform admin created it.
    assert_eq!(key.created_by, "");
    let got = t.admin().api_keys().get_api_key(pb::GetApiKeyRequest { api_key_id: key.id.clone() }).await.unwrap();
    assert_eq!(got.into_inner().api_key.unwrap(), key);
    t.with_key(&text).users().get_user(pb::GetUserRequest { user_id: ada.id }).await.unwrap();
}

#[both]
async fn a_key_gets_no_scope_that_its_maker_lacks(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, maker) = t.key(of_user(&ada), &["api_keys:*", "users:read", "app:*"]).await;
    let mut keys = t.with_key(&maker).api_keys();
    for scopes in
        [&["*"][..], &["users:*"], &["users:write"], &["api_keys:read", "memberships:read"], &["application:x"]]
    {
        refused(keys.create_api_key(new(of_user(&ada), scopes)).await, ErrorReason::ScopeNotHeld);
    }
    for scopes in [&["api_keys:write"][..], &["users:read", "api_keys:*"], &["app:anything"]] {
        keys.create_api_key(new(of_user(&ada), scopes)).await.unwrap();
    }
}

#[both]
async fn a_key_is_created_only_for_an_owner_whom_the_caller_may_act_for(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).api_keys();
    adas.create_api_key(new(of_organization(&acme), &["*"])).await.unwrap();
    refused(adas.create_api_key(new(of_user(&bob), &["*"])).await, ErrorReason::PlatformAdminRequired);
    refused(adas.create_api_key(new(of_user(&eve), &["*"])).await, ErrorReason::UserNotFound);
    let mut bobs = t.with_key(&t.user_key(&bob).await).api_keys();
    refused(bobs.create_api_key(new(of_organization(&acme), &["*"])).await, ErrorReason::RoleInsufficient);
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    refused(eves.create_api_key(new(of_organization(&acme), &["*"])).await, ErrorReason::OrganizationNotFound);
    let mut acmes = t.with_key(&t.organization_key(&acme).await).api_keys();
    let created = acmes.create_api_key(new(of_organization(&acme), &["users:read"])).await.answered();
    assert_eq!(created.api_key.unwrap().created_by, "");
    refused(acmes.create_api_key(new(of_user(&ada), &["*"])).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn a_suspended_owner_gets_no_key(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.suspend(&bob).await;
    refused(t.admin().api_keys().create_api_key(new(of_user(&bob), &["*"])).await, ErrorReason::UserSuspended);
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let create = t.admin().api_keys().create_api_key(new(of_organization(&acme), &["*"])).await;
    refused(create, ErrorReason::OrganizationSuspended);
}

#[both]
async fn every_violation_is_reported_at_once(t: Arc<Test>) {
    let request = pb::CreateApiKeyRequest {
        owner: None,
        name: " ".to_owned(),
        scopes: vec!["users".to_owned()],
        environment: 0,
        expires_at: time_in(&t, -1),
        metadata: object("\0", ""),
        ..Default::default()
    };
    let status = refused(t.admin().api_keys().create_api_key(request).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["owner", "name", "scopes[0]", "environment", "expires_at", "metadata"]);
    let ada = t.user("ada").await;
    refused(t.admin().api_keys().create_api_key(new(of_user(&ada), &[])).await, ErrorReason::InvalidArgument);
}

#[both(options = ["--max-api-keys", "3"])]
async fn an_owner_has_at_most_so_many_keys_also_when_many_are_made_at_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for owner in [of_organization(&acme), Owner::UserId(ada.id.clone())] {
        let making: Vec<_> = (0..8)
            .map(|_| {
                let (mut keys, request) = (t.admin().api_keys(), new(owner.clone(), &["users:read"]));
                tokio::spawn(async move { keys.create_api_key(request).await })
            })
            .collect();
        let mut created = Vec::new();
        for call in making {
            match call.await.unwrap() {
                Ok(answer) => created.push(answer.into_inner().api_key.unwrap()),
                Err(status) => drop(refused::<()>(Err(status), ErrorReason::LimitReached)),
            }
        }
        assert_eq!(created.len(), 3);
        // A revoked key no longer counts.
        let revoke = pb::RevokeApiKeyRequest { api_key_id: created[0].id.clone(), ..Default::default() };
        t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
        t.admin().api_keys().create_api_key(new(owner, &["users:read"])).await.unwrap();
    }
}
