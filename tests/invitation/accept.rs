//! `InvitationService.AcceptInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{by_id, by_token, get};
use crate::support::{Answered as _, Test, both, refused, rounds};

#[both]
async fn the_invited_becomes_a_member_with_the_role_of_the_invitation_and_the_token_is_used(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "billing", &["invoices:*"]).await;
    let (created, token) = t.invitation(&acme, &bob.email, "billing").await;
    let mut bobs = t.with_key(&t.user_key(&bob).await).invitations();
    // Without a user id the caller accepts.
    let mine = pb::AcceptInvitationRequest { user_id: String::new(), ..by_token(&token, &bob) };
    let membership = bobs.accept_invitation(mine.clone()).await.answered().membership.unwrap();
    assert_eq!(
        (&membership.user_id, &membership.organization_id, membership.role.as_str()),
        (&bob.id, &acme.id, "billing")
    );
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), membership);
    refused(bobs.accept_invitation(mine).await, ErrorReason::InvitationNotFound);
    let request = pb::ListEventsRequest { resource_id: created.id, ..Default::default() };
    let events = t.with_key(&t.user_key(&ada).await).events();
    let request = pb::ListEventsRequest { organization_id: acme.id.clone(), ..request };
    let reported = events.clone().list_events(request).await.answered().events;
    let actions: Vec<&str> = reported.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions.len(), 2);
    assert!(actions.contains(&"invitation.created") && actions.contains(&"invitation.accepted"), "{actions:?}");
    assert!(!format!("{reported:?}").contains(&token[7..]));
}

#[both]
async fn it_is_bound_to_the_address_even_with_the_token(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (created, token) = t.invitation(&acme, &bob.email.to_uppercase(), "member").await;
    let mut eves = t.with_key(&t.user_key(&eve).await).invitations();
    refused(eves.accept_invitation(by_token(&token, &eve)).await, ErrorReason::InvitationEmailMismatch);
    // Only a platform admin can accept for another user, who must have the invited address too.
    refused(eves.accept_invitation(by_token(&token, &bob)).await, ErrorReason::UserNotFound);
    refused(
        t.with_key(&t.user_key(&ada).await).invitations().accept_invitation(by_token(&token, &ada)).await,
        ErrorReason::InvitationEmailMismatch,
    );
    refused(
        t.admin().invitations().accept_invitation(by_token(&token, &eve)).await,
        ErrorReason::InvitationEmailMismatch,
    );
    refused(
        t.with_key(&t.organization_key(&acme).await)
            .invitations()
            .accept_invitation(pb::AcceptInvitationRequest { user_id: String::new(), ..by_token(&token, &bob) })
            .await,
        ErrorReason::InvalidArgument,
    );
    // Neither the id of an invitation nor an unverified address is a proof.
    refused(eves.accept_invitation(by_id(&created, &eve)).await, ErrorReason::InvitationNotFound);
    refused(
        t.with_key(&t.user_key(&bob).await).invitations().accept_invitation(by_id(&created, &bob)).await,
        ErrorReason::EmailNotVerified,
    );
    assert!(t.membership(&eve.id, &acme.id).await.is_none() && t.membership(&bob.id, &acme.id).await.is_none());
    t.admin().invitations().accept_invitation(by_token(&token, &bob)).await.unwrap();
    let carl = t.verified_user("carl").await;
    let (created, _) = t.invitation(&acme, &carl.email, "member").await;
    t.with_key(&t.user_key(&carl).await).invitations().accept_invitation(by_id(&created, &carl)).await.unwrap();
}

#[both(options = ["--max-members", "2"])]
async fn a_refused_acceptance_leaves_the_invitation_as_it_is(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let (created, token) = t.invitation(&acme, &bob.email, "member").await;
    let mut admin = t.admin().invitations();
    t.suspend(&bob).await;
    refused(admin.accept_invitation(by_token(&token, &bob)).await, ErrorReason::UserSuspended);
    t.reactivate(&bob).await;
    let carls = t.member(&carl, &acme, "member").await;
    refused(admin.accept_invitation(by_token(&token, &bob)).await, ErrorReason::LimitReached);
    let delete = pb::DeleteMembershipRequest { membership_id: carls.id, ..Default::default() };
    t.admin().memberships().delete_membership(delete).await.unwrap();
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    let bobs = t.with_key(&t.user_key(&bob).await);
    refused(bobs.invitations().accept_invitation(by_token(&token, &bob)).await, ErrorReason::OrganizationSuspended);
    let reactivate = pb::ReactivateOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().reactivate_organization(reactivate).await.unwrap();
    assert_eq!(admin.get_invitation(get(&created.id)).await.answered().invitation.unwrap(), created);
    // Already a member, though the organization is full: nothing is changed.
    t.member(&bob, &acme, "viewer").await;
    refused(t.admin().invitations().accept_invitation(by_token(&token, &bob)).await, ErrorReason::MembershipExists);
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap().role, "viewer");
}

#[both]
async fn however_many_accept_at_once_one_membership_is_made(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    for round in 0..rounds(40) {
        let bob = t.verified_user("bob").await;
        let (created, token) = t.invitation(&acme, &bob.email, "member").await;
        let (first, second) = (t.admin(), t.with_key(&t.admin_key));
        let (mut first, mut second) = (first.invitations(), second.invitations());
        let (a, b) = tokio::join!(
            first.accept_invitation(by_token(&token, &bob)),
            second.accept_invitation(by_id(&created, &bob))
        );
        let (one, other) = if a.is_ok() { (a, b) } else { (b, a) };
        let membership =
            one.unwrap_or_else(|status| panic!("round {round}: {status:?}")).into_inner().membership.unwrap();
        refused(other, ErrorReason::InvitationNotFound);
        assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), membership);
    }
}

#[both]
async fn the_database_holds_no_token(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let (_, token) = t.invitation(&acme, "bob@example.com", "member").await;
    let bytes = String::from_utf8_lossy(&t.database.bytes().await).into_owned();
    assert!(bytes.contains("bob@example.com") && !bytes.contains(&token[29..72]));
}
