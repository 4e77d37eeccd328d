//! `MembershipService.BatchUpdateMemberships`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_membership_result::Outcome};

use super::batch_create::{create, membership, new, reasons};
use crate::support::{Answered as _, Api, MISSING_ID, Test, both, mask, object};

pub fn role(id: &str, role: &str) -> pb::UpdateMembershipRequest {
    pb::UpdateMembershipRequest {
        membership_id: id.to_owned(),
        role: role.to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    }
}

pub async fn update(api: &Api, requests: Vec<pb::UpdateMembershipRequest>) -> Vec<pb::BatchMembershipResult> {
    let request = pb::BatchUpdateMembershipsRequest { requests, ..Default::default() };
    api.memberships().batch_update_memberships(request).await.answered().results
}

#[both]
async fn each_item_has_its_own_mask_its_own_etag_and_its_own_answer(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (bobs, carls) = (t.member(&bob, &acme, "member").await, t.member(&carl, &acme, "member").await);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let permissions = pb::UpdateMembershipRequest {
        permissions: vec!["invoices:read".to_owned()],
        update_mask: mask(&["permissions"]),
        ..role(&carls.id, "")
    };
    let stale = pb::UpdateMembershipRequest { etag: bobs.etag.clone(), ..role(&bobs.id, "viewer") };
    let rehearsed = pb::UpdateMembershipRequest { validate_only: true, ..role(&carls.id, "viewer") };
    let items = vec![
        pb::UpdateMembershipRequest { etag: bobs.etag.clone(), ..role(&bobs.id, "admin") },
        permissions,
        stale,
        role(&adas.id, "member"),
        role(MISSING_ID, "member"),
        rehearsed,
        pb::UpdateMembershipRequest { update_mask: None, ..role(&carls.id, "viewer") },
        role(&bobs.id, "owner"),
        role(&adas.id, "member"),
    ];
    let results = update(&t.admin(), items).await;
    let expected = [
        None,
        None,
        Some(ErrorReason::EtagMismatch),
        Some(ErrorReason::LastOwner),
        Some(ErrorReason::MembershipNotFound),
        Some(ErrorReason::InvalidArgument),
        Some(ErrorReason::InvalidArgument),
        None,
        None,
    ];
    assert_eq!(reasons(&results), expected);
    assert_eq!(membership(&results[0]).role, "admin");
    // The same item a second time continues from the first.
    assert_eq!(t.membership(&bob.id, &acme.id).await.as_ref(), Some(membership(&results[7])));
    assert_eq!(membership(&results[7]).role, "owner");
    let after = t.membership(&carl.id, &acme.id).await.unwrap();
    assert_eq!((after.role.as_str(), after.permissions.as_slice()), ("member", &["invoices:read".to_owned()][..]));
    assert_eq!(t.membership(&ada.id, &acme.id).await.unwrap().role, "member");
}

#[both]
async fn permission_is_decided_for_each_item_and_a_denied_one_has_an_event(t: Arc<Test>) {
    let (ada, bob, carl, dora) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("dora").await);
    let (acme, initech) = (t.organization(&ada).await, t.organization(&dora).await);
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "member").await);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let doras = t.membership(&dora.id, &initech.id).await.unwrap();
    let items = || {
        vec![
            role(&carls.id, "viewer"),
            role(&carls.id, "owner"),
            role(&adas.id, "viewer"),
            role(&doras.id, "viewer"),
            role(&carls.id, "member"),
        ]
    };
    let insufficient = Some(ErrorReason::RoleInsufficient);
    let expected = [None, insufficient, insufficient, Some(ErrorReason::MembershipNotFound), None];
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        let results = update(&t.with_key(&key), items()).await;
        assert_eq!(reasons(&results), expected);
        let Some(Outcome::Error(error)) = &results[1].outcome else { panic!() };
        assert!(!error.metadata["permission"].is_empty());
    }
    let request = pb::ListEventsRequest { actions: vec!["call.denied".to_owned()], ..Default::default() };
    let denied = crate::support::follow::list(&t.admin(), request).await;
    assert_eq!(denied.len(), 2, "one for each credential");
    for event in denied {
        assert_eq!(event.method, "tenantry.v1.MembershipService.BatchUpdateMemberships");
        assert_eq!(event.reason(), ErrorReason::RoleInsufficient);
    }
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), bobs);
}

#[both]
async fn an_external_id_that_is_taken_refuses_its_item_alone(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let hired = |user: &pb::User, external_id: &str| pb::CreateMembershipRequest {
        external_id: external_id.to_owned(),
        ..new(&user.id, &acme, "viewer")
    };
    let created = create(&t.admin(), vec![hired(&bob, "hr-1"), hired(&carl, "hr-1"), hired(&carl, "hr-2")]).await;
    assert_eq!(reasons(&created), [None, Some(ErrorReason::MembershipExternalIdTaken), None]);
    let (bobs, carls) = (membership(&created[0]), membership(&created[2]));
    let named = |of: &pb::Membership, external_id: &str| pb::UpdateMembershipRequest {
        external_id: external_id.to_owned(),
        update_mask: mask(&["external_id"]),
        ..role(&of.id, "")
    };
    let items = vec![
        named(&adas, "hr-2"),
        named(bobs, "hr-1"),
        named(carls, "hr-3"),
        named(&adas, "hr-2"),
        named(carls, "hr-2"),
        role(&bobs.id, "member"),
    ];
    let results = update(&t.with_key(&t.user_key(&ada).await), items).await;
    let taken = Some(ErrorReason::MembershipExternalIdTaken);
    assert_eq!(reasons(&results), [taken, None, None, None, taken, None]);
    assert_eq!(t.membership(&ada.id, &acme.id).await.as_ref(), Some(membership(&results[3])));
    assert_eq!(t.membership(&carl.id, &acme.id).await.unwrap().external_id, "hr-3");
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap().role, "member");
}

#[both]
async fn private_metadata_is_shown_to_platform_admins_alone_and_set_by_them_alone(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let private =
        pb::CreateMembershipRequest { private_metadata: object("risk", "high"), ..new(&bob.id, &acme, "viewer") };
    let created = create(&t.admin(), vec![private]).await;
    let bobs = membership(&created[0]);
    assert_eq!(bobs.private_metadata, object("risk", "high"));
    let private = pb::UpdateMembershipRequest {
        private_metadata: object("risk", "low"),
        update_mask: mask(&["private_metadata"]),
        ..role(&bobs.id, "")
    };
    let items = || vec![private.clone(), role(&bobs.id, "member")];
    let results = update(&t.with_key(&t.user_key(&ada).await), items()).await;
    assert_eq!(reasons(&results), [Some(ErrorReason::PlatformAdminRequired), None]);
    assert_eq!(membership(&results[1]).private_metadata, None);
    let results = update(&t.admin(), items()).await;
    assert_eq!(reasons(&results), [None, None]);
    assert_eq!(membership(&results[1]).private_metadata, object("risk", "low"));
}

#[both]
async fn of_two_owners_that_one_batch_lowers_the_second_stays(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let (adas, bobs) = (t.membership(&ada.id, &acme.id).await.unwrap(), t.member(&bob, &acme, "owner").await);
    let results = update(&t.admin(), vec![role(&adas.id, "member"), role(&bobs.id, "member")]).await;
    assert_eq!(reasons(&results), [None, Some(ErrorReason::LastOwner)]);
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), bobs);
}

#[both]
async fn a_thousand_large_memberships_are_all_changed_and_those_without_room_have_their_id(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut created = Vec::new();
    for _ in 0..100 {
        created.push(new(&t.user("bob").await.id, &acme, "member"));
    }
    let created = create(&t.admin(), created).await;
    let ids: Vec<&str> = created.iter().map(|result| membership(result).id.as_str()).collect();
    let large: Vec<String> = (0..100).map(|number| format!("{}:r{number:062}", "x".repeat(63))).collect();
    for ids in ids.chunks(10) {
        let items = ids.iter().map(|id| pb::UpdateMembershipRequest {
            permissions: large.clone(),
            update_mask: mask(&["permissions"]),
            ..role(id, "")
        });
        assert!(reasons(&update(&t.admin(), items.collect()).await).iter().all(Option::is_none));
    }
    let lowered = update(&t.admin(), ids.iter().map(|id| role(id, "viewer")).collect()).await;
    assert!(reasons(&lowered).iter().all(Option::is_none));
    let whole = lowered.iter().filter(|result| matches!(result.outcome, Some(Outcome::Membership(_)))).count();
    assert!((70..90).contains(&whole), "{whole} of 13 KiB fit into 1 MiB");
    for (result, id) in lowered.iter().zip(&ids).skip(whole) {
        assert_eq!(result.outcome, Some(Outcome::MembershipId((*id).to_owned())));
    }
    let viewers = pb::ListMembershipsRequest {
        organization_id: acme.id.clone(),
        role: "viewer".to_owned(),
        page_size: 1000,
        ..Default::default()
    };
    let mut viewers = t.admin().memberships().list_memberships(viewers).await.answered();
    assert_eq!(viewers.memberships.len(), 100);
    assert!(viewers.memberships.drain(..).all(|membership| membership.permissions.len() == 100));
}
