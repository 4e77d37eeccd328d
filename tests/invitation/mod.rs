//! `InvitationService`, a file per method.

mod accept;
pub mod batch_create;
mod create;
mod decline;
mod get;
mod list;
mod resend;
mod revoke;

use tenantry::pb::{self, accept_invitation_request, decline_invitation_request, get_invitation_request};

/// Accepts an invitation by token.
fn by_token(token: &str, user: &pb::User) -> pb::AcceptInvitationRequest {
    let key = Some(accept_invitation_request::Key::PlaintextToken(token.to_owned()));
    pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() }
}

/// Accepts an invitation by id.
fn by_id(invitation: &pb::Invitation, user: &pb::User) -> pb::AcceptInvitationRequest {
    let key = Some(accept_invitation_request::Key::InvitationId(invitation.id.clone()));
    pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() }
}

/// Declines an invitation by id.
fn decline_by_id(invitation: &pb::Invitation) -> pb::DeclineInvitationRequest {
    let key = Some(decline_invitation_request::Key::InvitationId(invitation.id.clone()));
    pb::DeclineInvitationRequest { key, ..Default::default() }
}

/// Gets an invitation by id.
fn get(invitation_id: &str) -> pb::GetInvitationRequest {
    pb::GetInvitationRequest { key: Some(get_invitation_request::Key::InvitationId(invitation_id.to_owned())) }
}

/// Gets an invitation by token.
fn get_by_token(token: &str) -> pb::GetInvitationRequest {
    pb::GetInvitationRequest { key: Some(get_invitation_request::Key::PlaintextToken(token.to_owned())) }
}
