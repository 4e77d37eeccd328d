//! Invitations on the wire.

use std::{ops::RangeInclusive, time::Duration};

use super::{Listing, Lists, Validation, time};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        Email, Invitation, InvitationFilter, InvitationId, InvitationKey, NewInvitation, Plaintext, Resource as _,
        RoleName, ShownInvitation, UserId, text::Lines,
    },
    pb::{
        self, accept_invitation_request, decline_invitation_request, get_invitation_request, list_invitations_request,
    },
};

/// The range of lifetimes of an invitation.
const LIFE: RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(720);
/// The default lifetime.
const USUAL_LIFE: Duration = Duration::from_hours(168);

/// The key in a request: each request has a oneof of its own for it.
macro_rules! key {
    ($check:ident, $request:ident, $key:expr) => {
        match $key {
            None => $check.field("key", Err("must be invitation_id or plaintext_token")),
            Some($request::Key::InvitationId(id)) => $check.id("invitation_id", &id).map(InvitationKey::Id),
            Some($request::Key::PlaintextToken(token)) => {
                let token = (!token.is_empty()).then(|| InvitationKey::Token(Plaintext::new(token)));
                $check.field("plaintext_token", token.ok_or("must not be empty"))
            }
        }
    };
}

/// Parses a CreateInvitation request.
pub fn create(request: &pb::CreateInvitationRequest) -> Result<NewInvitation> {
    let mut check = Validation::default();
    let organization_id = check.id("organization_id", &request.organization_id);
    let email = check.field("email", Email::parse(&request.email));
    let role = check.field("role", RoleName::parse(&request.role));
    let message = check.optional("message", &request.message, Lines::parse);
    let life = check.duration("life", request.life, LIFE, USUAL_LIFE);
    let (Some(organization_id), Some(email), Some(role), Some(message), Some(life)) =
        (organization_id, email, role, message, life)
    else {
        return Err(check.failed());
    };
    Ok(NewInvitation { organization_id, email, role, message, life })
}

/// Parses a GetInvitation request.
pub fn get(request: pb::GetInvitationRequest) -> Result<InvitationKey> {
    let mut check = Validation::default();
    let key = key!(check, get_invitation_request, request.key);
    key.ok_or_else(|| check.failed())
}

/// Parses a ListInvitations request.
pub fn list(lists: Lists<'_>, request: &pb::ListInvitationsRequest) -> Result<Listing<InvitationFilter>> {
    use list_invitations_request::Filter;
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let filter = match &request.filter {
        None => check.field("filter", Err("must be organization_id or email")),
        Some(Filter::OrganizationId(id)) => check.id("organization_id", id).map(InvitationFilter::Organization),
        Some(Filter::Email(email)) => {
            check.field("email", Email::parse(email)).map(|email| InvitationFilter::Email(email.normalized().clone()))
        }
    };
    let (Some(page), Some(filter)) = (page, filter) else { return Err(check.failed()) };
    Ok(Listing::new(filter, page))
}

/// Parses a ResendInvitation request: the invitation, and its new lifetime.
pub fn resend(request: pb::ResendInvitationRequest) -> Result<(Target<InvitationId>, Duration)> {
    let mut check = Validation::default();
    let id = check.id("invitation_id", &request.invitation_id);
    let life = check.duration("life", request.life, LIFE, USUAL_LIFE);
    let (Some(id), Some(life)) = (id, life) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, life))
}

/// Parses an AcceptInvitation request: the invitation, the accepting user, if set, and the access token.
pub fn accept(request: pb::AcceptInvitationRequest) -> Result<(InvitationKey, Option<UserId>, String)> {
    let mut check = Validation::default();
    let key = key!(check, accept_invitation_request, request.key);
    let (key, user_id) = answered_by(check, key, &request.user_id)?;
    Ok((key, user_id, request.access_token))
}

/// Parses a DeclineInvitation request: the invitation, and the declining user, if set.
pub fn decline(request: pb::DeclineInvitationRequest) -> Result<(InvitationKey, Option<UserId>)> {
    let mut check = Validation::default();
    let key = key!(check, decline_invitation_request, request.key);
    answered_by(check, key, &request.user_id)
}

fn answered_by(
    mut check: Validation,
    key: Option<InvitationKey>,
    user_id: &str,
) -> Result<(InvitationKey, Option<UserId>), Error> {
    let user_id = check.optional_id("user_id", user_id);
    let (Some(key), Some(user_id)) = (key, user_id) else { return Err(check.failed()) };
    Ok((key, user_id))
}

impl From<Invitation> for pb::Invitation {
    fn from(invitation: Invitation) -> Self {
        Self {
            etag: invitation.etag(),
            id: invitation.id.to_string(),
            organization_id: invitation.organization_id.to_string(),
            email: invitation.email.as_str().to_owned(),
            role: invitation.role.as_str().to_owned(),
            message: invitation.message.map(|text| text.as_str().to_owned()).unwrap_or_default(),
            invited_by: invitation
                .invited_by
                .filter(|_| !invitation.by_platform)
                .map(|id| id.to_string())
                .unwrap_or_default(),
            expires_at: Some(time(invitation.expires_at)),
            created_at: Some(time(invitation.created_at)),
            updated_at: Some(time(invitation.updated_at)),
            organization_name: String::new(),
            organization_logo_url: String::new(),
        }
    }
}

impl From<ShownInvitation> for pb::Invitation {
    fn from(shown: ShownInvitation) -> Self {
        Self {
            organization_name: shown.organization_name.as_str().to_owned(),
            organization_logo_url: shown.organization_logo_url.map(|url| url.as_str().to_owned()).unwrap_or_default(),
            ..shown.invitation.into()
        }
    }
}
