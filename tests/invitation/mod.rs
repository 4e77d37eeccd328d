//! `InvitationService`, a file per method.

mod accept;
mod create;
mod decline;
mod get;
mod list;
mod resend;
mod revoke;

use tenantry::pb::{self, accept_invitation_request, decline_invitation_request, get_invitation_request};

/// Names an invitation to be accepted by its token.
fn by_token(token: &str, user: &pb::User) -> pb::AcceptInvitationRequest {
    let key = Some(accept_invitation_request::Key::PlaintextToken(token.to_owned()));
    pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() }
}

/// Names an invitation to be accepted by its id.
fn by_id(invitation: &pb::Invitation, user: &pb::User) -> pb::AcceptInvitationRequest {
    let key = Some(accept_invitation_request::Key::InvitationId(invitation.id.clone()));
    pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() }
}

/// Names an invitation to be declined by its id.
fn decline_by_id(invitation: &pb::Invitation) -> pb::DeclineInvitationRequest {
    let key = Some(decline_invitation_request::Key::InvitationId(invitation.id.clone()));
    pb::DeclineInvitationRequest { key, ..Default::default() }
}

/// Asks for an invitation by its id.
fn get(invitation_id: &str) -> pb::GetInvitationRequest {
    pb::GetInvitationRequest { key: Some(get_invitation_request::Key::InvitationId(invitation_id.to_owned())) }
}

/// Asks for an invitation by its token.
fn get_by_token(token: &str) -> pb::GetInvitationRequest {
    pb::GetInvitationRequest { key: Some(get_invitation_request::Key::PlaintextToken(token.to_owned())) }
}
