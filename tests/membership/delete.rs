//! `MembershipService.DeleteMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Test, both, refused};

fn delete(membership: &pb::Membership) -> pb::DeleteMembershipRequest {
    pb::DeleteMembershipRequest { membership_id: membership.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn an_admin_ends_what_is_not_above_it_and_a_member_its_own(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "viewer").await);
    let mut by_carl = t.with_key(&t.user_key(&carl).await).memberships();
    refused(by_carl.delete_membership(delete(&bobs)).await, ErrorReason::RoleInsufficient);
    let mut by_bob = t.with_key(&t.user_key(&bob).await).memberships();
    refused(by_bob.delete_membership(delete(&adas)).await, ErrorReason::RoleInsufficient);
    by_carl.delete_membership(delete(&carls)).await.unwrap();
    refused(by_bob.delete_membership(delete(&carls)).await, ErrorReason::MembershipNotFound);
    by_bob.delete_membership(delete(&bobs)).await.unwrap();
    assert!(t.membership(&bob.id, &acme.id).await.is_none());
}

#[both]
async fn the_last_owner_does_not_leave(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let mut by_ada = t.with_key(&t.user_key(&ada).await).memberships();
    refused(by_ada.delete_membership(delete(&adas)).await, ErrorReason::LastOwner);
    t.member(&bob, &acme, "owner").await;
    by_ada.delete_membership(delete(&adas)).await.unwrap();
}

#[both]
async fn a_foreign_membership_is_not_found_and_a_stale_etag_refused(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "member").await;
    let mut by_eve = t.with_key(&t.user_key(&eve).await).memberships();
    refused(by_eve.delete_membership(delete(&bobs)).await, ErrorReason::MembershipNotFound);
    let stale = pb::DeleteMembershipRequest { etag: "r9".to_owned(), ..delete(&bobs) };
    refused(t.admin().memberships().delete_membership(stale).await, ErrorReason::EtagMismatch);
}
