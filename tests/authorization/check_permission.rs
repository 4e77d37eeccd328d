//! `AuthorizationService.CheckPermission`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, PermissionBasis as Basis, create_api_key_request::Owner};

use super::{of_key, of_user};
use crate::support::{Answered as _, Api, DAY, MISSING_ID, Test, both, mask, refusal::fields, refused, time_in};

async fn decision(api: &Api, request: pb::CheckPermissionRequest) -> pb::PermissionDecision {
    api.authorization().check_permission(request).await.answered().decision.unwrap()
}

async fn basis(api: &Api, request: pb::CheckPermissionRequest) -> Basis {
    let decision = decision(api, request).await;
    let allows = [Basis::Role, Basis::Membership, Basis::PlatformAdmin, Basis::OrganizationKey];
    assert_eq!(decision.allowed, allows.contains(&decision.basis()));
    decision.basis()
}

#[both]
async fn a_decision_tells_which_role_and_which_membership_it_rests_on(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let clerk = t.role(&acme, "clerk", &["invoices:*"]).await;
    let bobs = t.member(&bob, &acme, "clerk").await;
    let reported = decision(&t.admin(), of_user(&bob, &acme, "invoices:write")).await;
    let expected = pb::PermissionDecision {
        allowed: true,
        basis: Basis::Role.into(),
        role: "clerk".to_owned(),
        membership_id: bobs.id.clone(),
        membership_etag: bobs.etag.clone(),
        role_id: clerk.id.clone(),
        role_etag: clerk.etag.clone(),
    };
    assert_eq!(reported, expected);
    let give = pb::UpdateMembershipRequest {
        membership_id: bobs.id.clone(),
        permissions: vec!["reports:read".to_owned()],
        update_mask: mask(&["permissions"]),
        ..Default::default()
    };
    assert_eq!(basis(&t.admin(), of_user(&bob, &acme, "reports:read")).await, Basis::NotGiven);
    t.admin().memberships().update_membership(give).await.unwrap();
    let reported = decision(&t.admin(), of_user(&bob, &acme, "reports:read")).await;
    assert_eq!((reported.basis(), reported.membership_etag.as_str()), (Basis::Membership, "r2"));
    let take =
        pb::UpdateRoleRequest { role_id: clerk.id.clone(), update_mask: mask(&["permissions"]), ..Default::default() };
    t.admin().roles().update_role(take).await.unwrap();
    let reported = decision(&t.admin(), of_user(&bob, &acme, "invoices:write")).await;
    assert_eq!((reported.basis(), reported.role_etag.as_str()), (Basis::NotGiven, "r2"));
}

#[both]
async fn built_in_roles_hold_the_permissions_of_the_table(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let (every, member, admin, owner) = (
        ["organizations:read", "memberships:read", "users:read", "roles:read"],
        ["invitations:read"],
        [
            "organizations:write",
            "memberships:write",
            "roles:write",
            "invitations:write",
            "api_keys:read",
            "api_keys:write",
            "events:read",
            "invoices:pay",
        ],
        ["organizations:delete", "organizations:transfer"],
    );
    for (role, holds) in [("viewer", 1), ("member", 2), ("admin", 3), ("owner", 4)] {
        let user = t.user(role).await;
        t.member(&user, &acme, role).await;
        for (at, permissions) in [&every[..], &member[..], &admin[..], &owner[..]].into_iter().enumerate() {
            for permission in permissions {
                let expected = if at < holds { Basis::Role } else { Basis::NotGiven };
                assert_eq!(basis(&t.admin(), of_user(&user, &acme, permission)).await, expected, "{role} {permission}");
            }
        }
    }
}

#[both]
async fn strangers_and_suspended_users_may_do_nothing(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    assert_eq!(basis(&t.admin(), of_user(&bob, &acme, "invoices:read")).await, Basis::NotAMember);
    assert_eq!(basis(&t.admin(), of_user(&t.first_admin().await, &acme, "invoices:read")).await, Basis::PlatformAdmin);
    t.member(&t.first_admin().await, &acme, "viewer").await;
    assert_eq!(basis(&t.admin(), of_user(&t.first_admin().await, &acme, "invoices:read")).await, Basis::PlatformAdmin);
    t.member(&bob, &acme, "owner").await;
    assert_eq!(basis(&t.admin(), of_user(&bob, &acme, "invoices:read")).await, Basis::Role);
    t.suspend(&bob).await;
    assert_eq!(basis(&t.admin(), of_user(&bob, &acme, "invoices:read")).await, Basis::UserSuspended);
    t.reactivate(&bob).await;
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    assert_eq!(basis(&t.admin(), of_user(&bob, &acme, "invoices:read")).await, Basis::OrganizationSuspended);
    let (key, _) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    assert_eq!(basis(&t.admin(), of_key(&key, &acme, "invoices:read")).await, Basis::OrganizationSuspended);
}

#[both]
async fn a_key_may_do_what_both_its_scopes_and_its_owner_allow(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    t.member(&bob, &acme, "viewer").await;
    let (small, _) = t.key(Owner::UserId(ada.id.clone()), &["invoices:read"]).await;
    assert_eq!(basis(&t.admin(), of_key(&small, &acme, "invoices:read")).await, Basis::Role);
    assert_eq!(basis(&t.admin(), of_key(&small, &acme, "invoices:write")).await, Basis::ScopeMissing);
    let (bobs, _) = t.key(Owner::UserId(bob.id.clone()), &["*"]).await;
    assert_eq!(basis(&t.admin(), of_key(&bobs, &acme, "invoices:read")).await, Basis::NotGiven);
    assert_eq!(basis(&t.admin(), of_key(&bobs, &other, "invoices:read")).await, Basis::NotAMember);
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    assert_eq!(basis(&t.admin(), of_key(&own, &acme, "invoices:read")).await, Basis::OrganizationKey);
    assert_eq!(basis(&t.admin(), of_key(&own, &acme, "organizations:delete")).await, Basis::NotGiven);
    assert_eq!(basis(&t.admin(), of_key(&own, &other, "invoices:read")).await, Basis::NotAMember);
    let expire = pb::UpdateApiKeyRequest {
        api_key_id: small.id.clone(),
        expires_at: time_in(&t, 60),
        update_mask: mask(&["expires_at"]),
        ..Default::default()
    };
    t.admin().api_keys().update_api_key(expire).await.unwrap();
    t.advance(DAY);
    assert_eq!(basis(&t.admin(), of_key(&small, &acme, "invoices:read")).await, Basis::ApiKeyExpired);
    t.admin()
        .api_keys()
        .revoke_api_key(pb::RevokeApiKeyRequest { api_key_id: small.id.clone(), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(basis(&t.admin(), of_key(&small, &acme, "invoices:read")).await, Basis::ApiKeyRevoked);
}

#[both]
async fn nobody_asks_about_those_it_does_not_see(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    let nowhere = pb::Organization { id: MISSING_ID.to_owned(), ..Default::default() };
    let (key, _) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    for caller in [t.user_key(&eve).await, t.organization_key(&other).await] {
        let api = t.with_key(&caller);
        for (user, organization, reason) in [
            (&ada, &other, ErrorReason::UserNotFound),
            (&missing, &other, ErrorReason::UserNotFound),
            (&eve, &acme, ErrorReason::OrganizationNotFound),
            (&eve, &nowhere, ErrorReason::OrganizationNotFound),
            (&ada, &acme, ErrorReason::UserNotFound),
        ] {
            refused(api.authorization().check_permission(of_user(user, organization, "a:b")).await, reason);
        }
        refused(api.authorization().check_permission(of_key(&key, &other, "a:b")).await, ErrorReason::ApiKeyNotFound);
    }
    let api = t.with_key(&t.user_key(&ada).await);
    assert_eq!(basis(&api, of_user(&ada, &acme, "a:b")).await, Basis::Role);
}

#[both]
async fn a_check_names_one_permission(t: Arc<Test>) {
    let nothing = pb::CheckPermissionRequest::default();
    let status = refused(t.admin().authorization().check_permission(nothing).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["subject", "organization_id", "permission"]);
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for permission in ["*", "invoices:*", "invoices", "Invoices:read"] {
        let check = t.admin().authorization().check_permission(of_user(&ada, &acme, permission)).await;
        refused(check, ErrorReason::InvalidArgument);
    }
}
