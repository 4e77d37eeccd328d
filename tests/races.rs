//! Pairs of concurrent calls that must not both succeed. Other races are tested with their methods: accept and accept in
//! `invitation/accept.rs`, rotate and verify in `api_key/rotate.rs`, demote and demote in `membership/update.rs`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, mask, refusal::reason_of, refused, rounds};

#[both]
async fn removing_one_owner_while_the_other_is_demoted_leaves_one(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let (by_ada, by_bob) = (t.with_key(&t.user_key(&ada).await), t.with_key(&t.user_key(&bob).await));
    let owners = || pb::ListMembershipsRequest {
        organization_id: acme.id.clone(),
        role: "owner".to_owned(),
        ..Default::default()
    };
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    for round in 0..rounds(40) {
        let bobs = t.member(&bob, &acme, "owner").await;
        let remove = pb::DeleteMembershipRequest { membership_id: bobs.id.clone(), ..Default::default() };
        let demote = pb::UpdateMembershipRequest {
            membership_id: adas.id.clone(),
            role: "member".to_owned(),
            update_mask: mask(&["role"]),
            ..Default::default()
        };
        let (mut one, mut two) = (by_ada.memberships(), by_bob.memberships());
        let (removed, demoted) = tokio::join!(one.delete_membership(remove), two.update_membership(demote));
        assert_ne!(removed.is_ok(), demoted.is_ok(), "round {round}: {removed:?} {demoted:?}");
        let left = t.admin().memberships().list_memberships(owners()).await.answered().memberships;
        assert_eq!(left.len(), 1, "round {round}");
        // Ada is the only owner again.
        let promote = pb::UpdateMembershipRequest {
            membership_id: adas.id.clone(),
            role: "owner".to_owned(),
            update_mask: mask(&["role"]),
            ..Default::default()
        };
        t.admin().memberships().update_membership(promote).await.unwrap();
        if removed.is_err() {
            let remove = pb::DeleteMembershipRequest { membership_id: bobs.id, ..Default::default() };
            t.admin().memberships().delete_membership(remove).await.unwrap();
        }
    }
}

#[both]
async fn no_token_works_once_its_user_is_suspended_however_it_is_rotated(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..rounds(40) {
        let (_, token) = t.session(&ada).await;
        let (rotated, ()) = tokio::join!(t.rotate(&token), t.suspend(&ada));
        let successor = match rotated {
            Ok((_, successor)) => Some(successor),
            Err(status) => {
                assert_eq!(reason_of(&status), "REFRESH_TOKEN_REJECTED", "round {round}");
                None
            }
        };
        let newest = successor.as_ref().unwrap_or(&token);
        refused(t.rotate(newest).await, ErrorReason::RefreshTokenRejected);
        t.reactivate(&ada).await;
        // A suspension ends sessions for good.
        refused(t.rotate(newest).await, ErrorReason::RefreshTokenRejected);
    }
}

#[both]
async fn no_key_works_once_its_owner_is_suspended_however_it_is_used(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.with_key(&t.user_key(&ada).await);
    for _ in 0..rounds(40) {
        let (mut users, get) = (key.users(), || pb::GetUserRequest { user_id: ada.id.clone() });
        let (_, ()) = tokio::join!(users.get_user(get()), t.suspend(&ada));
        refused(key.users().get_user(get()).await, ErrorReason::Unauthenticated);
        t.reactivate(&ada).await;
        key.users().get_user(get()).await.unwrap();
    }
}
