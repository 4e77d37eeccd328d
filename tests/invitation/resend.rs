//! `InvitationService.ResendInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{by_token, get_by_token};
use crate::support::{Answered as _, DAY, MISSING_ID, Test, both, refused};

fn resend(id: &str) -> pb::ResendInvitationRequest {
    pb::ResendInvitationRequest { invitation_id: id.to_owned(), ..Default::default() }
}

#[both]
async fn it_has_a_new_token_and_a_new_life_and_the_token_before_stops(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let (created, first) = t.invitation(&acme, &bob.email, "member").await;
    t.advance(8 * DAY);
    refused(t.admin().invitations().accept_invitation(by_token(&first, &bob)).await, ErrorReason::InvitationExpired);
    let mut invitations = t.with_key(&t.user_key(&ada).await).invitations();
    let stale = pb::ResendInvitationRequest { etag: "r9".to_owned(), ..resend(&created.id) };
    refused(invitations.resend_invitation(stale).await, ErrorReason::EtagMismatch);
    let life = Some(prost_types::Duration { seconds: 721 * 3600, nanos: 0 });
    refused(
        invitations.resend_invitation(pb::ResendInvitationRequest { life, ..resend(&created.id) }).await,
        ErrorReason::InvalidArgument,
    );
    let sent = invitations.resend_invitation(resend(&created.id)).await.answered();
    let again = sent.invitation.unwrap();
    assert_eq!((&again.id, &again.created_at), (&created.id, &created.created_at));
    // A busy machine takes a moment between the two.
    let longer = again.expires_at.unwrap().seconds - created.expires_at.unwrap().seconds - 8 * 86_400;
    assert!((0..300).contains(&longer), "{longer} s");
    refused(invitations.get_invitation(get_by_token(&first)).await, ErrorReason::InvitationNotFound);
    refused(t.admin().invitations().accept_invitation(by_token(&first, &bob)).await, ErrorReason::InvitationNotFound);
    t.admin().invitations().accept_invitation(by_token(&sent.plaintext_token, &bob)).await.unwrap();
}

#[both]
async fn it_takes_the_permission_and_all_that_the_role_gives(t: Arc<Test>) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let (acme, _other) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&bob, &acme, "admin").await;
    t.member(&carl, &acme, "member").await;
    let (owners, _) = t.invitation(&acme, "x@example.com", "owner").await;
    let (members, _) = t.invitation(&acme, "y@example.com", "member").await;
    let mut bobs = t.with_key(&t.user_key(&bob).await).invitations();
    refused(bobs.resend_invitation(resend(&owners.id)).await, ErrorReason::RoleInsufficient);
    bobs.resend_invitation(resend(&members.id)).await.unwrap();
    refused(
        t.with_key(&t.user_key(&carl).await).invitations().resend_invitation(resend(&members.id)).await,
        ErrorReason::RoleInsufficient,
    );
    for id in [&members.id, MISSING_ID] {
        refused(
            t.with_key(&t.user_key(&eve).await).invitations().resend_invitation(resend(id)).await,
            ErrorReason::InvitationNotFound,
        );
    }
}
