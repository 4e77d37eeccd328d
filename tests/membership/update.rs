//! `MembershipService.UpdateMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request};

use crate::support::{Answered as _, MISSING_ID, Test, both, mask, refused, rounds};

fn role(membership: &pb::Membership, role: &str) -> pb::UpdateMembershipRequest {
    pb::UpdateMembershipRequest {
        membership_id: membership.id.clone(),
        role: role.to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    }
}

#[both]
async fn role_and_permissions_change_by_mask(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "member").await;
    let request = pb::UpdateMembershipRequest {
        permissions: vec!["invoices:read".to_owned()],
        update_mask: mask(&["permissions"]),
        etag: bobs.etag.clone(),
        ..role(&bobs, "admin")
    };
    let updated = t.admin().memberships().update_membership(request.clone()).await.answered().membership.unwrap();
    assert_eq!((updated.role.as_str(), updated.permissions.len()), ("member", 1));
    refused(t.admin().memberships().update_membership(request).await, ErrorReason::EtagMismatch);
    let missing = pb::Membership { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(t.admin().memberships().update_membership(role(&missing, "admin")).await, ErrorReason::MembershipNotFound);
    let unknown = pb::UpdateMembershipRequest { update_mask: mask(&["user_id"]), ..role(&bobs, "x") };
    refused(t.admin().memberships().update_membership(unknown).await, ErrorReason::InvalidArgument);
}

#[both]
async fn nobody_gives_or_changes_a_role_above_its_own(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "member").await);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        let mut memberships = t.with_key(&key).memberships();
        refused(memberships.update_membership(role(&bobs, "owner")).await, ErrorReason::RoleInsufficient);
        refused(memberships.update_membership(role(&carls, "owner")).await, ErrorReason::RoleInsufficient);
        refused(memberships.update_membership(role(&adas, "viewer")).await, ErrorReason::RoleInsufficient);
        memberships.update_membership(role(&carls, "viewer")).await.unwrap();
        memberships.update_membership(role(&carls, "admin")).await.unwrap();
        memberships.update_membership(role(&carls, "member")).await.unwrap();
    }
    let mut memberships = t.with_key(&t.user_key(&carl).await).memberships();
    refused(memberships.update_membership(role(&carls, "admin")).await, ErrorReason::RoleInsufficient);
    let mut memberships = t.with_key(&t.user_key(&ada).await).memberships();
    memberships.update_membership(role(&carls, "owner")).await.unwrap();
}

#[both]
async fn nobody_gives_a_permission_beyond_its_own(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "admin").await);
    let giving = |membership: &pb::Membership, permission: &str| pb::UpdateMembershipRequest {
        permissions: vec![permission.to_owned()],
        update_mask: mask(&["permissions"]),
        ..role(membership, "")
    };
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        for permission in ["*", "organizations:*", "organizations:delete", "organizations:transfer"] {
            for membership in [&bobs, &carls] {
                let given = api.memberships().update_membership(giving(membership, permission)).await;
                refused(given, ErrorReason::RoleInsufficient);
            }
        }
        api.memberships().update_membership(giving(&carls, "invoices:*")).await.unwrap();
    }
    let by_owner = t.with_key(&t.user_key(&ada).await);
    by_owner.memberships().update_membership(giving(&carls, "*")).await.unwrap();
    // A deputy of the owner is not lowered by an admin.
    let lowered = t.with_key(&t.user_key(&bob).await).memberships().update_membership(role(&carls, "viewer")).await;
    refused(lowered, ErrorReason::RoleInsufficient);
}

#[both]
async fn a_narrow_key_of_an_organization_lowers_nobody_who_holds_more_than_its_scopes(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "member").await);
    let owner = create_api_key_request::Owner::OrganizationId(acme.id.clone());
    let (_, key) = t.key(owner, &["memberships:*", "invitations:read"]).await;
    let mut memberships = t.with_key(&key).memberships();
    let delete = |membership: &pb::Membership| pb::DeleteMembershipRequest {
        membership_id: membership.id.clone(),
        ..Default::default()
    };
    refused(memberships.update_membership(role(&bobs, "viewer")).await, ErrorReason::ScopeNotHeld);
    refused(memberships.delete_membership(delete(&bobs)).await, ErrorReason::ScopeNotHeld);
    memberships.delete_membership(delete(&carls)).await.unwrap();
}

#[both]
async fn the_last_owner_is_not_demoted(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    refused(t.admin().memberships().update_membership(role(&adas, "admin")).await, ErrorReason::LastOwner);
    // Setting the same role again demotes no owner.
    t.admin().memberships().update_membership(role(&adas, "owner")).await.unwrap();
    let bobs = t.member(&bob, &acme, "member").await;
    t.admin().memberships().update_membership(role(&bobs, "owner")).await.unwrap();
    t.admin().memberships().update_membership(role(&adas, "admin")).await.unwrap();
    refused(t.admin().memberships().update_membership(role(&bobs, "admin")).await, ErrorReason::LastOwner);
}

#[both]
async fn a_suspended_user_becomes_no_owner(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "member").await;
    t.suspend(&bob).await;
    refused(t.admin().memberships().update_membership(role(&bobs, "owner")).await, ErrorReason::UserSuspended);
}

#[both]
async fn r44_two_owners_that_demote_each_other_at_once_leave_one(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let bobs = t.member(&bob, &acme, "owner").await;
    let (by_ada, by_bob) = (t.with_key(&t.user_key(&ada).await), t.with_key(&t.user_key(&bob).await));
    for round in 0..rounds(60) {
        let (mut one, mut two) = (by_ada.memberships(), by_bob.memberships());
        let (one, two) =
            tokio::join!(one.update_membership(role(&bobs, "member")), two.update_membership(role(&adas, "member")),);
        assert_ne!(one.is_ok(), two.is_ok(), "round {round}: {one:?} {two:?}");
        let winner = if one.is_ok() { &by_ada } else { &by_bob };
        let (loser, refusal) = if one.is_ok() { (&bobs, two) } else { (&adas, one) };
        // The refusal depends on which check fails first: the last owner or the lost role.
        let reason = crate::support::refusal::reason_of(&refusal.unwrap_err());
        assert!(reason == "LAST_OWNER" || reason == "ROLE_INSUFFICIENT", "round {round}: {reason}");
        let owners = pb::ListMembershipsRequest {
            organization_id: acme.id.clone(),
            role: "owner".to_owned(),
            ..Default::default()
        };
        assert_eq!(t.admin().memberships().list_memberships(owners).await.answered().memberships.len(), 1);
        winner.memberships().update_membership(role(loser, "owner")).await.unwrap();
    }
}
