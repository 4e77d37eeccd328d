//! `InvitationService.RevokeInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{by_token, get_by_token};
use crate::support::{MISSING_ID, Test, both, refused};

fn revoke(id: &str) -> pb::RevokeInvitationRequest {
    pb::RevokeInvitationRequest { invitation_id: id.to_owned(), ..Default::default() }
}

#[both]
async fn a_revoked_invitation_is_gone_with_its_token(t: Arc<Test>) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let (acme, _other) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&carl, &acme, "member").await;
    let (created, token) = t.invitation(&acme, &bob.email, "member").await;
    refused(
        t.with_key(&t.user_key(&carl).await).invitations().revoke_invitation(revoke(&created.id)).await,
        ErrorReason::RoleInsufficient,
    );
    for id in [&created.id, MISSING_ID] {
        refused(
            t.with_key(&t.user_key(&eve).await).invitations().revoke_invitation(revoke(id)).await,
            ErrorReason::InvitationNotFound,
        );
    }
    let mut invitations = t.with_key(&t.user_key(&ada).await).invitations();
    let stale = pb::RevokeInvitationRequest { etag: "r9".to_owned(), ..revoke(&created.id) };
    refused(invitations.revoke_invitation(stale).await, ErrorReason::EtagMismatch);
    invitations.revoke_invitation(revoke(&created.id)).await.unwrap();
    refused(invitations.revoke_invitation(revoke(&created.id)).await, ErrorReason::InvitationNotFound);
    refused(invitations.get_invitation(get_by_token(&token)).await, ErrorReason::InvitationNotFound);
    refused(t.admin().invitations().accept_invitation(by_token(&token, &bob)).await, ErrorReason::InvitationNotFound);
    // The address can be invited again.
    t.invitation(&acme, &bob.email, "viewer").await;
}

#[both]
async fn a_role_that_an_invitation_gives_is_not_deleted(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let role = t.role(&acme, "billing", &[]).await;
    let (created, _) = t.invitation(&acme, "bob@example.com", "billing").await;
    let delete = pb::DeleteRoleRequest { role_id: role.id, ..Default::default() };
    refused(t.admin().roles().delete_role(delete.clone()).await, ErrorReason::RoleInUse);
    t.admin().invitations().revoke_invitation(revoke(&created.id)).await.unwrap();
    t.admin().roles().delete_role(delete).await.unwrap();
}
