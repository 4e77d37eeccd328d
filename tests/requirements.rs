//! Numbered requirements; each test is named after its number. Some tests are elsewhere: in `access.rs` and `selftest.rs`,
//! the race of R-44 in `membership/update.rs`, R-29 for several processes in `api_key/verify.rs`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tenantry::{
    models::Environment,
    pb::{self, ApiKeyVerdict, ErrorReason, create_api_key_request::Owner},
    security::token::SecretPrefixes,
};
use tonic::metadata::MetadataMap;

use crate::support::{
    Answered as _, Api, MISSING_ID, Test, both, mask, raw,
    refusal::reason_of,
    refused,
    request::{World, encode},
    statements, time_in,
};

#[both]
async fn r28_a_key_with_a_typo_costs_no_statement_and_no_secret_is_stored(t: Arc<Test>) {
    statements::record();
    let t = crate::support::Test::start_like(&t).await;
    let (key, text) = t.key(Owner::UserId(t.user("ada").await.id), &["*"]).await;
    // An invented key has a prefix that is looked up; one with a typo is not.
    let unknown = SecretPrefixes::default().mint_api_key(Environment::Live).0.expose().to_owned();
    let prefix = unknown[..20].to_owned();
    statements::watch(&prefix);
    let mut typo = unknown.clone();
    typo.replace_range(40..41, if &typo[40..41] == "a" { "b" } else { "a" });
    for _ in 0..3 {
        refused(
            t.with_key(&typo).users().list_users(pb::ListUsersRequest::default()).await,
            ErrorReason::Unauthenticated,
        );
    }
    assert_eq!(statements::seen(&prefix), 0);
    refused(
        t.with_key(&unknown).users().list_users(pb::ListUsersRequest::default()).await,
        ErrorReason::Unauthenticated,
    );
    assert!(statements::seen(&prefix) > 0);
    // The secret has 43 characters of 62: more than 256 bits. It is returned once and not stored.
    assert_eq!(text.len(), 20 + 43 + 6);
    let bytes = String::from_utf8_lossy(&t.database.bytes().await).into_owned();
    assert!(bytes.contains(&key.prefix) && !bytes.contains(&text[20..63]));
    let got = t.admin().api_keys().get_api_key(pb::GetApiKeyRequest { api_key_id: key.id }).await.answered();
    assert!(!format!("{got:?}").contains(&text[20..63]));
    t.stop().await;
}

#[both]
async fn r29_once_a_revocation_is_answered_no_call_with_the_key_succeeds(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..20 {
        let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
        let revoked = Arc::new(AtomicBool::new(false));
        let users = (0..8).map(|_| {
            let (mut users, revoked, user_id) = (t.with_key(&text).users(), Arc::clone(&revoked), ada.id.clone());
            tokio::spawn(async move {
                loop {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    let called = users.get_user(pb::GetUserRequest { user_id: user_id.clone() }).await;
                    assert!(!(was_revoked && called.is_ok()), "a call that started after the revocation succeeded");
                    if called.is_err() {
                        return;
                    }
                }
            })
        });
        let users: Vec<_> = users.collect();
        let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
        let after = t.admin().api_keys().revoke_api_key(revoke).await.answered().api_key.unwrap();
        revoked.store(true, Ordering::SeqCst);
        for user in users {
            user.await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        assert!(after.revoked_at.is_some() && after.created_at.is_some() && after.owner.is_some());
    }
}

#[both]
async fn r30_a_key_makes_no_key_that_may_do_more_and_its_owner_is_no_choice_of_the_request(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&eve, &acme, "member").await;
    let new = |owner: Owner, scope: &str| pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: "more".to_owned(),
        scopes: vec![scope.to_owned()],
        environment: 1,
        ..Default::default()
    };
    let of_ada = || Owner::UserId(ada.id.clone());
    refused(t.anonymous().api_keys().create_api_key(new(of_ada(), "*")).await, ErrorReason::Unauthenticated);
    let mut eves = t.with_key(&t.user_key(&eve).await).api_keys();
    refused(eves.create_api_key(new(of_ada(), "users:read")).await, ErrorReason::PlatformAdminRequired);
    refused(
        eves.create_api_key(new(Owner::OrganizationId(acme.id.clone()), "users:read")).await,
        ErrorReason::RoleInsufficient,
    );
    let (_, small) = t.key(Owner::UserId(ada.id.clone()), &["api_keys:write", "users:read"]).await;
    for more in ["*", "users:*", "users:write"] {
        refused(t.with_key(&small).api_keys().create_api_key(new(of_ada(), more)).await, ErrorReason::ScopeNotHeld);
    }
    t.with_key(&small).api_keys().create_api_key(new(of_ada(), "users:read")).await.unwrap();
    let limited = pb::CreateApiKeyRequest {
        expires_at: time_in(&t, 60),
        allowed_ip_ranges: vec!["127.0.0.0/8".to_owned()],
        ..new(of_ada(), "*")
    };
    let limited = t.admin().api_keys().create_api_key(limited).await.answered().plaintext_key;
    refused(t.with_key(&limited).api_keys().create_api_key(new(of_ada(), "*")).await, ErrorReason::ExpiryNotHeld);
    let longer = pb::CreateApiKeyRequest { expires_at: time_in(&t, 30), ..new(of_ada(), "*") };
    refused(t.with_key(&limited).api_keys().create_api_key(longer).await, ErrorReason::IpRangeNotHeld);
}

#[both]
async fn r37_every_method_has_a_rule_that_asks_for_a_key(t: Arc<Test>) {
    // A method without a rule keeps the server from starting; an unknown path is refused.
    let open: Vec<String> = raw::methods()
        .into_iter()
        .filter(|method| raw::access(method).scope.is_empty())
        .map(|method| method.name().to_owned())
        .collect();
    assert_eq!(open, [raw::ENDS_ITS_KEY, raw::NAMES_NOTHING], "every other method requires a scope");
    let status = raw::call(&t.admin(), "/tenantry.v1.UserService/Nothing", vec![], raw::bearer(&[&t.admin_key]))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&status), "METHOD_UNKNOWN");
}

#[both]
async fn r41_more_than_one_credential_is_unauthenticated(t: Arc<Test>) {
    let user_id = t.first_admin().await.id;
    let request = || prost::Message::encode_to_vec(&pb::GetUserRequest { user_id: user_id.clone() });
    let key = t.admin_key.clone();
    let with = |values: &[String]| {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("authorization", value.parse().unwrap());
        }
        metadata
    };
    let path = "/tenantry.v1.UserService/GetUser";
    let other = t.user_key(&t.user("ada").await).await;
    for values in [
        vec![format!("Bearer {key}"), format!("Bearer {key}")],
        vec![format!("Bearer {key}"), format!("Bearer {other}")],
        vec![format!("Bearer {other}"), format!("Bearer {key}")],
        vec![format!("Bearer {key}"), "Basic eDp5".to_owned()],
        vec![format!("Bearer {key}, Bearer {key}")],
        vec![format!("Bearer {key},{other}")],
        vec![format!("Bearer  {key}")],
        vec![format!("Basic {key}")],
        vec![key.clone()],
        vec![String::new()],
    ] {
        let status = raw::call(&t.anonymous(), path, request(), with(&values)).await.unwrap_err();
        assert_eq!(reason_of(&status), "UNAUTHENTICATED", "{} values", values.len());
    }
    raw::call(&t.anonymous(), path, request(), with(&[format!("bearer {key}")])).await.unwrap();
}

#[both]
async fn r42_who_calls_and_from_where_is_never_taken_from_metadata(t: Arc<Test>) {
    let (ada, admin) = (t.user("ada").await, t.first_admin().await);
    let key = t.user_key(&ada).await;
    let forged = [
        ("x-user-id", admin.id.as_str()),
        ("x-forwarded-user", admin.email.as_str()),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "not an address"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9;by=admin"),
        ("x-organization-id", MISSING_ID),
        ("x-api-key", t.admin_key.as_str()),
        ("cookie", "session=admin"),
    ];
    let path = "/tenantry.v1.UserService/ListUsers";
    for keys in [&[][..], &[key.as_str()]] {
        let plain = raw::call(&t.anonymous(), path, vec![], raw::bearer(keys)).await;
        let mut metadata = raw::bearer(keys);
        for (name, value) in forged {
            metadata.append(name, value.parse().unwrap());
        }
        let said = raw::call(&t.anonymous(), path, vec![], metadata.clone()).await;
        assert_eq!(said.map_err(|status| reason_of(&status)), plain.map_err(|status| reason_of(&status)));
        // The change is attributed to the key and to the address of the connection.
        if !keys.is_empty() {
            let update = pb::UpdateUserRequest {
                user_id: ada.id.clone(),
                name: "Forged".to_owned(),
                update_mask: mask(&["name"]),
                ..Default::default()
            };
            raw::call(
                &t.anonymous(),
                "/tenantry.v1.UserService/UpdateUser",
                prost::Message::encode_to_vec(&update),
                metadata,
            )
            .await
            .unwrap();
        }
    }
    let request = pb::ListEventsRequest {
        user_id: ada.id.clone(),
        actions: vec!["user.updated".to_owned()],
        ..Default::default()
    };
    let events = t.admin().events().list_events(request).await.answered().events;
    let actor = events[0].actor.clone().unwrap();
    assert_eq!((actor.user_id.as_str(), actor.ip_address.as_str()), (ada.id.as_str(), "127.0.0.1"));
}

#[both]
async fn r43_a_user_of_another_tenant_is_nobody_for_every_method_that_takes_a_user(t: Arc<Test>) {
    let (acme, other) = (World::make(&t).await, World::make(&t).await);
    let before = t.reload_user(&other.user.id).await;
    let organization = pb::Organization { id: acme.organization_id.clone(), ..Default::default() };
    let keys = [t.organization_key(&organization).await, t.user_key(&acme.user).await];
    let is_user = |name: &str| {
        ["user_id", "owner_user_id", "new_owner_user_id", "former_owner_user_id", "member_user_id"].contains(&name)
    };
    let mut tried = 0;
    for method in raw::methods() {
        for field in method.input().fields().filter(|field| is_user(field.name())) {
            let with = |id: &str| {
                let mut request = acme.request(&method);
                request.set_field(&field, prost_reflect::Value::String(id.to_owned()));
                encode(&request)
            };
            for key in &keys {
                let call = async |id: &str| {
                    raw::call(&t.anonymous(), &raw::path(&method), with(id), raw::bearer(&[key])).await
                };
                let (foreign, missing) = (call(&other.user.id).await, call(MISSING_ID).await);
                match (foreign, missing) {
                    (Err(foreign), Err(missing)) => assert_eq!(
                        (foreign.code(), foreign.details()),
                        (missing.code(), missing.details()),
                        "{}",
                        method.full_name()
                    ),
                    // Both get the same answer: no such user in the organization.
                    (Ok(foreign), Ok(missing)) => {
                        assert!(["CheckPermission", "ListEvents"].contains(&method.name()), "{}", method.full_name());
                        assert_eq!(foreign, missing, "{}", method.full_name());
                    }
                    answers => panic!("{}: {answers:?}", method.full_name()),
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried}");
    assert_eq!(t.reload_user(&other.user.id).await, before);
}

#[both]
async fn r44_the_last_owner_and_the_last_platform_admin_stay(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let id = || admin.id.clone();
    let mut users = t.admin().users();
    refused(
        users.revoke_platform_admin(pb::RevokePlatformAdminRequest { user_id: id(), ..Default::default() }).await,
        ErrorReason::LastPlatformAdmin,
    );
    refused(
        users.suspend_user(pb::SuspendUserRequest { user_id: id(), ..Default::default() }).await,
        ErrorReason::LastPlatformAdmin,
    );
    refused(
        users.delete_user(pb::DeleteUserRequest { user_id: id(), ..Default::default() }).await,
        ErrorReason::LastPlatformAdmin,
    );
    refused(
        users.purge_user(pb::PurgeUserRequest { user_id: id(), ..Default::default() }).await,
        ErrorReason::LastPlatformAdmin,
    );
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut own = t.with_key(&t.user_key(&ada).await).organizations();
    let leave = pb::LeaveOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    refused(own.leave_organization(leave).await, ErrorReason::LastOwner);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let demote = pb::UpdateMembershipRequest {
        membership_id: adas.id.clone(),
        role: "admin".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(t.admin().memberships().update_membership(demote).await, ErrorReason::LastOwner);
    let remove = pb::DeleteMembershipRequest { membership_id: adas.id, ..Default::default() };
    refused(t.admin().memberships().delete_membership(remove).await, ErrorReason::LastOwner);
    // Two platform admins who revoke each other leave one. No start creates another, see `startup.rs`.
    let bob = t.user("bob").await;
    let bobs_key = t.user_key(&bob).await;
    for _ in 0..50 {
        users
            .grant_platform_admin(pb::GrantPlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() })
            .await
            .unwrap();
        let (mut by_admin, mut by_bob) = (t.admin().users(), t.with_key(&bobs_key).users());
        let (one, two) = tokio::join!(
            by_admin.revoke_platform_admin(pb::RevokePlatformAdminRequest {
                user_id: bob.id.clone(),
                ..Default::default()
            }),
            by_bob.revoke_platform_admin(pb::RevokePlatformAdminRequest { user_id: id(), ..Default::default() }),
        );
        assert_ne!(one.is_ok(), two.is_ok(), "{one:?} {two:?}");
        if two.is_ok() {
            let give_back = pb::GrantPlatformAdminRequest { user_id: id(), ..Default::default() };
            t.with_key(&bobs_key).users().grant_platform_admin(give_back).await.unwrap();
            let end = pb::RevokePlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
            users.revoke_platform_admin(end).await.unwrap();
        }
    }
}

/// A member of an organization, who tries methods.
struct Clerk {
    api: Api,
    organization_id: String,
    membership_id: String,
    colleague_id: String,
}

impl Clerk {
    /// True if a method that requires the permission accepts the call.
    async fn can_use(&self, permission: &str) -> bool {
        match permission.split_once(':').unwrap().0 {
            "organizations" => self.can_use_organizations(permission).await,
            "memberships" | "users" | "roles" => self.can_use_members(permission).await,
            _ => self.can_use_others(permission).await,
        }
    }

    async fn can_use_organizations(&self, permission: &str) -> bool {
        let (mut organizations, organization_id) = (self.api.organizations(), self.organization_id.clone());
        match permission {
            "organizations:read" => {
                organizations.get_organization(pb::GetOrganizationRequest { organization_id }).await.is_ok()
            }
            "organizations:write" => {
                let request = pb::UpdateOrganizationRequest {
                    organization_id,
                    name: "New".to_owned(),
                    update_mask: mask(&["name"]),
                    ..Default::default()
                };
                organizations.update_organization(request).await.is_ok()
            }
            "organizations:delete" => {
                let request =
                    pb::DeleteOrganizationRequest { organization_id, validate_only: true, ..Default::default() };
                organizations.delete_organization(request).await.is_ok()
            }
            other => panic!("add a method that requires {other}"),
        }
    }

    async fn can_use_members(&self, permission: &str) -> bool {
        let organization_id = self.organization_id.clone();
        match permission {
            "memberships:read" => {
                let request = pb::ListMembershipsRequest { organization_id, ..Default::default() };
                self.api.memberships().list_memberships(request).await.is_ok()
            }
            "memberships:write" => {
                let request = pb::UpdateMembershipRequest {
                    membership_id: self.membership_id.clone(),
                    role: "clerk".to_owned(),
                    update_mask: mask(&["role"]),
                    ..Default::default()
                };
                self.api.memberships().update_membership(request).await.is_ok()
            }
            "users:read" => {
                let request = pb::GetUserRequest { user_id: self.colleague_id.clone() };
                self.api.users().get_user(request).await.is_ok()
            }
            "roles:read" => {
                let request = pb::ListRolesRequest { organization_id, ..Default::default() };
                self.api.roles().list_roles(request).await.is_ok()
            }
            "roles:write" => {
                let request = pb::CreateRoleRequest {
                    organization_id,
                    name: crate::support::given::unique("r-"),
                    ..Default::default()
                };
                self.api.roles().create_role(request).await.is_ok()
            }
            other => panic!("add a method that requires {other}"),
        }
    }

    async fn can_use_others(&self, permission: &str) -> bool {
        let organization_id = self.organization_id.clone();
        match permission {
            "invitations:read" => {
                let filter = Some(pb::list_invitations_request::Filter::OrganizationId(organization_id));
                let request = pb::ListInvitationsRequest { filter, ..Default::default() };
                self.api.invitations().list_invitations(request).await.is_ok()
            }
            "invitations:write" => {
                let request = pb::CreateInvitationRequest {
                    organization_id,
                    email: format!("{}@example.com", crate::support::given::unique("i")),
                    role: "viewer".to_owned(),
                    ..Default::default()
                };
                self.api.invitations().create_invitation(request).await.is_ok()
            }
            "api_keys:read" => {
                let owner = Some(pb::list_api_keys_request::Owner::OrganizationId(organization_id));
                let request = pb::ListApiKeysRequest { owner, ..Default::default() };
                self.api.api_keys().list_api_keys(request).await.is_ok()
            }
            "api_keys:write" => {
                let request = pb::CreateApiKeyRequest {
                    owner: Some(Owner::OrganizationId(organization_id)),
                    name: "k".to_owned(),
                    scopes: vec!["api_keys:write".to_owned()],
                    environment: 1,
                    ..Default::default()
                };
                self.api.api_keys().create_api_key(request).await.is_ok()
            }
            "events:read" => {
                let request = pb::ListEventsRequest { organization_id, ..Default::default() };
                self.api.events().list_events(request).await.is_ok()
            }
            other => panic!("add a method that requires {other}"),
        }
    }
}

#[both]
async fn u16_stored_fields_equal_the_requested_ones(t: Arc<Test>) {
    // One vocabulary for both: a permission of a role opens the methods that require it and is what CheckPermission answers.
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "clerk", &[]).await;
    t.member(&bob, &acme, "clerk").await;
    let clerk = Clerk {
        api: t.with_key(&t.user_key(&bob).await),
        organization_id: acme.id.clone(),
        membership_id: t.membership(&bob.id, &acme.id).await.unwrap().id,
        colleague_id: ada.id.clone(),
    };
    let check = async |permission: &str| {
        let request = pb::CheckPermissionRequest {
            subject: Some(pb::check_permission_request::Subject::UserId(bob.id.clone())),
            organization_id: acme.id.clone(),
            permission: permission.to_owned(),
        };
        t.admin().authorization().check_permission(request).await.answered().decision.unwrap().allowed
    };
    for permission in tenantry::models::permission::OWN {
        let of_every_member =
            ["organizations:read", "memberships:read", "users:read", "roles:read"].contains(&permission);
        let opens = async || match permission {
            // The method requires everything that an owner holds, not only this permission.
            "organizations:transfer" => check(permission).await,
            _ => clerk.can_use(permission).await,
        };
        let give = async |permissions: &[&str]| {
            let request = pb::UpdateRoleRequest {
                role_id: role.id.clone(),
                permissions: permissions.iter().map(ToString::to_string).collect(),
                update_mask: mask(&["permissions"]),
                ..Default::default()
            };
            t.admin().roles().update_role(request).await.unwrap();
        };
        give(&[]).await;
        assert_eq!(
            (check(permission).await, opens().await),
            (of_every_member, of_every_member),
            "{permission} is not given"
        );
        give(&[permission]).await;
        assert_eq!((check(permission).await, opens().await), (true, true), "{permission} is given");
    }
    let verdict = t
        .admin()
        .api_keys()
        .verify_api_key(pb::VerifyApiKeyRequest {
            question: Some(pb::ApiKeyQuestion {
                plaintext_key: t.user_key(&bob).await,
                required_scope: "roles:write".to_owned(),
                ..Default::default()
            }),
        })
        .await;
    assert_eq!(verdict.unwrap().into_inner().verification.unwrap().verdict(), ApiKeyVerdict::Valid);
}
