//! `InvitationService.DeclineInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, decline_invitation_request};

use super::{decline_by_id, get};
use crate::support::{MISSING_ID, Test, both, refused};

#[both]
async fn the_invited_decline_by_token_or_with_a_verified_address(t: Arc<Test>) {
    let (ada, bob, twin, eve) =
        (t.user("ada").await, t.verified_user("bob").await, t.user("twin").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (bobs, _) = t.invitation(&acme, &bob.email, "member").await;
    let (twins, token) = t.invitation(&acme, &twin.email, "member").await;
    let mut eves = t.with_key(&t.user_key(&eve).await).invitations();
    let missing = pb::Invitation { id: MISSING_ID.to_owned(), ..Default::default() };
    for invitation in [&bobs, &missing] {
        refused(eves.decline_invitation(decline_by_id(invitation)).await, ErrorReason::InvitationNotFound);
    }
    let as_bob = pb::DeclineInvitationRequest { user_id: bob.id.clone(), ..decline_by_id(&bobs) };
    refused(eves.decline_invitation(as_bob).await, ErrorReason::UserNotFound);
    // An owner of the organization is not invited and must revoke instead.
    refused(
        t.with_key(&t.user_key(&ada).await).invitations().decline_invitation(decline_by_id(&bobs)).await,
        ErrorReason::InvitationNotFound,
    );
    refused(
        t.with_key(&t.organization_key(&acme).await).invitations().decline_invitation(decline_by_id(&bobs)).await,
        ErrorReason::InvalidArgument,
    );
    refused(
        t.with_key(&t.user_key(&twin).await).invitations().decline_invitation(decline_by_id(&twins)).await,
        ErrorReason::EmailNotVerified,
    );
    t.with_key(&t.user_key(&bob).await).invitations().decline_invitation(decline_by_id(&bobs)).await.unwrap();
    let key = Some(decline_invitation_request::Key::PlaintextToken(token));
    eves.decline_invitation(pb::DeclineInvitationRequest { key, ..Default::default() }).await.unwrap();
    for id in [&bobs.id, &twins.id] {
        refused(t.admin().invitations().get_invitation(get(id)).await, ErrorReason::InvitationNotFound);
    }
    assert!(t.membership(&bob.id, &acme.id).await.is_none());
}
