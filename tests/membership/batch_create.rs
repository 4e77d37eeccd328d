//! `MembershipService.BatchCreateMemberships`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_membership_result::Outcome, create_api_key_request::Owner};

use crate::{
    batches::ids,
    support::{
        Answered as _, Api, MISSING_ID, Test, both,
        follow::{actions, newest, since},
        refused,
    },
};

pub fn new(user_id: &str, organization: &pb::Organization, role: &str) -> pb::CreateMembershipRequest {
    pb::CreateMembershipRequest {
        user_id: user_id.to_owned(),
        organization_id: organization.id.clone(),
        role: role.to_owned(),
        ..Default::default()
    }
}

pub async fn create(api: &Api, requests: Vec<pb::CreateMembershipRequest>) -> Vec<pb::BatchMembershipResult> {
    let request = pb::BatchCreateMembershipsRequest { requests, ..Default::default() };
    api.memberships().batch_create_memberships(request).await.answered().results
}

/// The membership of a result.
#[track_caller]
pub fn membership(result: &pb::BatchMembershipResult) -> &pb::Membership {
    match result.outcome.as_ref().unwrap() {
        Outcome::Membership(membership) => membership,
        other => panic!("{other:?}"),
    }
}

/// The reason of a result; `None` if the item was done.
pub fn reason(result: &pb::BatchMembershipResult) -> Option<ErrorReason> {
    match result.outcome.as_ref().unwrap() {
        Outcome::Error(error) => Some(error.reason()),
        _ => None,
    }
}

pub fn reasons(results: &[pb::BatchMembershipResult]) -> Vec<Option<ErrorReason>> {
    assert_eq!(results.iter().map(|result| result.index).collect::<Vec<_>>(), ids(results.len()));
    results.iter().map(reason).collect()
}

#[both]
async fn each_item_is_answered_on_its_own_in_the_order_asked(t: Arc<Test>) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let (acme, initech) = (t.organization(&ada).await, t.organization(&eve).await);
    t.suspend(&eve).await;
    let invalid = pb::CreateMembershipRequest { permissions: vec!["a b".to_owned()], ..new("x", &acme, "No Role") };
    let missing = pb::Organization { id: MISSING_ID.to_owned(), ..Default::default() };
    let items = vec![
        new(&bob.id, &acme, "member"),
        invalid,
        new(MISSING_ID, &acme, "member"),
        new(&bob.id, &acme, "viewer"),
        new(&ada.id, &missing, "member"),
        new(&carl.id, &acme, "nothing"),
        new(&eve.id, &acme, "owner"),
        new(&carl.id, &initech, "admin"),
        pb::CreateMembershipRequest { request_id: MISSING_ID.to_owned(), ..new(&carl.id, &acme, "member") },
    ];
    let last = newest(&t.admin()).await;
    let results = create(&t.admin(), items).await;
    let expected = [
        None,
        Some(ErrorReason::InvalidArgument),
        Some(ErrorReason::UserNotFound),
        Some(ErrorReason::MembershipExists),
        Some(ErrorReason::OrganizationNotFound),
        Some(ErrorReason::RoleNotFound),
        Some(ErrorReason::UserSuspended),
        None,
        Some(ErrorReason::InvalidArgument),
    ];
    assert_eq!(reasons(&results), expected);
    assert_eq!(t.membership(&bob.id, &acme.id).await.as_ref(), Some(membership(&results[0])));
    assert_eq!(t.membership(&carl.id, &initech.id).await.as_ref(), Some(membership(&results[7])));
    assert_eq!(t.membership(&carl.id, &acme.id).await, None);
    let Some(Outcome::Error(error)) = &results[1].outcome else { panic!() };
    let fields: Vec<&str> = error.field_violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["user_id", "role", "permissions[0]"]);
    let Some(Outcome::Error(error)) = &results[3].outcome else { panic!() };
    assert_eq!((error.metadata["field"].as_str(), error.field_violations.len()), ("user_id", 0));
    let events = since(&t.admin(), last).await;
    assert_eq!(actions(&events), ["membership.created", "membership.created"]);
    assert_eq!(events[1].resource_id, membership(&results[0]).id, "in the order asked");
}

#[both(options = ["--max-members", "5"])]
async fn the_limit_of_members_is_held_exactly_also_between_two_batches(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let mut items = Vec::new();
    for _ in 0..12 {
        items.push(new(&t.user("bob").await.id, &acme, "viewer"));
    }
    let others = items.split_off(6);
    let (admin, api) = (t.admin(), t.admin());
    let (one, other) = tokio::join!(create(&admin, items), create(&api, others));
    let mut created = 0;
    for reason in one.iter().chain(&other).map(reason) {
        match reason {
            None => created += 1,
            Some(reason) => assert_eq!(reason, ErrorReason::LimitReached),
        }
    }
    assert_eq!(created, 4, "with the owner there are five");
    for results in [one, other] {
        assert!(results.iter().map(reason).is_sorted_by_key(|reason| reason.is_some()), "the first ones come in");
    }
    let error = create(&t.admin(), vec![new(&t.user("carl").await.id, &acme, "viewer")]).await.remove(0).outcome;
    let Some(Outcome::Error(error)) = error else { panic!("{error:?}") };
    assert_eq!((error.metadata["limit"].as_str(), error.metadata["most"].as_str()), ("members", "5"));
}

#[both]
async fn nobody_but_a_platform_admin_puts_persons_into_an_organization(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let request =
            pb::BatchCreateMembershipsRequest { requests: vec![new(&bob.id, &acme, "viewer")], ..Default::default() };
        let refusal = t.with_key(&key).memberships().batch_create_memberships(request).await;
        refused(refusal, ErrorReason::PlatformAdminRequired);
    }
}

#[both]
async fn a_narrow_key_gives_in_each_item_no_more_than_it_holds(t: Arc<Test>) {
    let (admin, ada, bob, carl) =
        (t.first_admin().await, t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let scopes = ["organizations:read", "memberships:read", "memberships:write", "users:read", "roles:read"];
    let (_, narrow) = t.key(Owner::UserId(admin.id), &scopes).await;
    let items = vec![new(&bob.id, &acme, "viewer"), new(&carl.id, &acme, "admin"), new(&carl.id, &acme, "viewer")];
    let results = create(&t.with_key(&narrow), items).await;
    assert_eq!(reasons(&results), [None, Some(ErrorReason::ScopeNotHeld), None]);
}
