//! `MembershipService.BatchDeleteMemberships`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_membership_result::Outcome};

use super::batch_create::reasons;
use crate::support::{
    Answered as _, Api, MISSING_ID, Test, both,
    follow::{actions, newest, since},
};

fn end(membership: &pb::Membership) -> pb::DeleteMembershipRequest {
    pb::DeleteMembershipRequest { membership_id: membership.id.clone(), ..Default::default() }
}

async fn delete(api: &Api, requests: Vec<pb::DeleteMembershipRequest>) -> Vec<pb::BatchMembershipResult> {
    let request = pb::BatchDeleteMembershipsRequest { requests, ..Default::default() };
    api.memberships().batch_delete_memberships(request).await.answered().results
}

#[both]
async fn each_item_is_answered_on_its_own_and_a_second_time_it_is_gone(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "member").await, t.member(&carl, &acme, "viewer").await);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let missing = pb::Membership { id: MISSING_ID.to_owned(), ..Default::default() };
    let nobody = pb::Membership { id: "x".to_owned(), ..Default::default() };
    let stale = pb::DeleteMembershipRequest { etag: "r0".to_owned(), ..end(&carls) };
    let items = vec![end(&bobs), end(&adas), end(&bobs), stale, end(&missing), end(&nobody), end(&carls)];
    let last = newest(&t.admin()).await;
    let results = delete(&t.with_key(&t.user_key(&ada).await), items).await;
    let expected = [
        None,
        Some(ErrorReason::LastOwner),
        Some(ErrorReason::MembershipNotFound),
        Some(ErrorReason::EtagMismatch),
        Some(ErrorReason::MembershipNotFound),
        Some(ErrorReason::InvalidArgument),
        None,
    ];
    assert_eq!(reasons(&results), expected);
    assert_eq!(results[0].outcome, Some(Outcome::MembershipId(bobs.id)));
    assert_eq!(results[6].outcome, Some(Outcome::MembershipId(carls.id)));
    assert_eq!(t.membership(&bob.id, &acme.id).await, None);
    assert_eq!(t.membership(&ada.id, &acme.id).await, Some(adas));
    let mut events = since(&t.admin(), last).await;
    events.retain(|event| event.action != "api_key.created");
    assert_eq!(actions(&events), ["membership.deleted", "membership.deleted"]);
}

#[both]
async fn a_viewer_ends_its_own_membership_and_no_other(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "viewer").await, t.member(&carl, &acme, "viewer").await);
    let items = vec![end(&carls), end(&bobs), end(&carls)];
    let results = delete(&t.with_key(&t.user_key(&bob).await), items).await;
    // Once it has left, it no longer sees the others.
    let expected = [Some(ErrorReason::RoleInsufficient), None, Some(ErrorReason::MembershipNotFound)];
    assert_eq!(reasons(&results), expected);
}
