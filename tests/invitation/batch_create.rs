//! `InvitationService.BatchCreateInvitations`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, accept_invitation_request::Key, batch_invitation_result::Outcome};
use uuid::Uuid;

use crate::{
    batches::ids,
    support::{Answered as _, Api, DAY, Test, both, given::unique},
};

pub fn new(organization: &pb::Organization, email: &str, role: &str) -> pb::CreateInvitationRequest {
    pb::CreateInvitationRequest {
        organization_id: organization.id.clone(),
        email: email.to_owned(),
        role: role.to_owned(),
        ..Default::default()
    }
}

pub fn batch(requests: Vec<pb::CreateInvitationRequest>) -> pb::BatchCreateInvitationsRequest {
    pb::BatchCreateInvitationsRequest { requests, request_id: Uuid::new_v4().to_string() }
}

async fn invite(api: &Api, requests: Vec<pb::CreateInvitationRequest>) -> Vec<pb::BatchInvitationResult> {
    api.invitations().batch_create_invitations(batch(requests)).await.answered().results
}

pub fn reasons(results: &[pb::BatchInvitationResult]) -> Vec<Option<ErrorReason>> {
    assert_eq!(results.iter().map(|result| result.index).collect::<Vec<_>>(), ids(results.len()));
    let reason = |result: &pb::BatchInvitationResult| match result.outcome.as_ref().unwrap() {
        Outcome::Error(error) => {
            assert_eq!(result.plaintext_token, "");
            Some(error.reason())
        }
        _ => None,
    };
    results.iter().map(reason).collect()
}

#[both]
async fn each_address_has_its_own_answer_and_its_own_token(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "deputy", &["organizations:delete"]).await;
    t.member(&bob, &acme, "admin").await;
    let (carl, dora) = (t.user("carl").await, t.user("dora").await);
    let items = vec![
        new(&acme, &carl.email, "member"),
        new(&acme, &carl.email.to_uppercase(), "viewer"),
        new(&acme, &ada.email, "member"),
        new(&acme, "nobody", "No Role"),
        new(&acme, "eve@example.com", "deputy"),
        new(&acme, "eve@example.com", "nothing"),
        new(&acme, &dora.email, "admin"),
    ];
    let results = invite(&t.with_key(&t.user_key(&bob).await), items).await;
    let expected = [
        None,
        Some(ErrorReason::InvitationExists),
        Some(ErrorReason::MembershipExists),
        Some(ErrorReason::InvalidArgument),
        Some(ErrorReason::RoleInsufficient),
        Some(ErrorReason::RoleNotFound),
        None,
    ];
    assert_eq!(reasons(&results), expected);
    assert_ne!(results[0].plaintext_token, results[6].plaintext_token);
    for (result, user, role) in [(&results[0], &carl, "member"), (&results[6], &dora, "admin")] {
        let Some(Outcome::Invitation(invitation)) = &result.outcome else { panic!("{result:?}") };
        assert_eq!((&invitation.invited_by, invitation.role.as_str()), (&bob.id, role));
        let key = Some(Key::PlaintextToken(result.plaintext_token.clone()));
        let accept = pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() };
        let accepted = t.admin().invitations().accept_invitation(accept).await.answered().membership.unwrap();
        assert_eq!((&accepted.user_id, accepted.role.as_str()), (&user.id, role));
    }
}

#[both]
async fn tokens_in_remembered_answers_are_sealed_and_come_back_as_they_were(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let items = (0..120).map(|_| new(&acme, &format!("{}@example.com", unique("bob")), "member"));
    let request = batch(items.collect());
    let api = t.with_key(&t.user_key(&ada).await);
    let first = api.invitations().batch_create_invitations(request.clone()).await.answered();
    assert!(reasons(&first.results).iter().all(Option::is_none));
    let stored = t.database.bytes().await;
    // One or more of each part.
    for result in first.results.iter().step_by(40) {
        let secret = &result.plaintext_token.as_bytes()[30..];
        assert!(!stored.windows(secret.len()).any(|window| window == secret));
    }
    assert_eq!(t.database.texts("SELECT 'x' AS value FROM cf_remembered_answers").await.len(), 3, "one for each part");
    assert_eq!(api.invitations().batch_create_invitations(request).await.answered(), first);
}

#[both]
async fn an_organization_has_at_most_1000_invitations_and_an_expired_one_makes_room_for_its_successor(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let address = |number: usize| format!("bob{number}@example.com");
    let all: Vec<_> = (0..1000).map(|number| new(&acme, &address(number), "member")).collect();
    assert!(reasons(&invite(&t.admin(), all.clone()).await).iter().all(Option::is_none));
    let more = vec![new(&acme, &address(7), "member"), new(&acme, &address(1000), "member")];
    let expected = [Some(ErrorReason::InvitationExists), Some(ErrorReason::LimitReached)];
    assert_eq!(reasons(&invite(&t.admin(), more.clone()).await), expected);
    t.advance(8 * DAY);
    assert_eq!(reasons(&invite(&t.admin(), more).await), [None, Some(ErrorReason::LimitReached)]);
}
