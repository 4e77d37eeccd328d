//! Invitations.

use std::time::Duration;

use super::{
    ApiKeyId, Caller, InvitationId, Name, NormalizedEmail, Organization, OrganizationId, Plaintext, Revision, RoleName,
    SecretHash, SessionId, Timestamp, User, UserId, WebUrl,
    email::{Email, GivenEmail},
    resource::resource,
    text::Lines,
};

/// A pending offer of membership to the owner of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// The id.
    pub id: InvitationId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The invited address, as given.
    pub email: GivenEmail,
    /// The invited address, normalized.
    pub email_normalized: NormalizedEmail,
    /// The role of the future membership.
    pub role: RoleName,
    /// A message to the invited user.
    pub message: Option<Lines>,
    /// Hash of the token's secret.
    pub token_hash: SecretHash,
    /// The user who sent it last.
    pub invited_by: Option<UserId>,
    /// True if that user acted as a platform admin, whose name is hidden from tenants.
    pub by_platform: bool,
    /// The session whose access token sent it last.
    pub session_id: Option<SessionId>,
    /// The API key that sent it last.
    pub api_key_id: Option<ApiKeyId>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Invitation);

impl Invitation {
    /// True once it can no longer be accepted.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Notes who sent it.
    pub fn sent_by(&mut self, sender: &Caller) {
        (self.invited_by, self.by_platform) = sender.maker(None);
        (self.session_id, self.api_key_id) = (sender.session(), sender.api_key_id());
    }

    /// True if the user has the invited address.
    pub fn is_to(&self, user: &User) -> bool {
        self.email_normalized == user.email_normalized
    }
}

/// An invitation, with what its reader learns of the organization: an invited person does not see the organization otherwise.
#[derive(Clone, Debug)]
pub struct ShownInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The display name of the organization.
    pub organization_name: Name,
    /// The URL of its logo.
    pub organization_logo_url: Option<WebUrl>,
}

impl ShownInvitation {
    /// An invitation to an organization.
    pub fn new(invitation: Invitation, to: &Organization) -> Self {
        Self { invitation, organization_name: to.name.clone(), organization_logo_url: to.logo_url.clone() }
    }
}

/// An invitation to create.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The invited address.
    pub email: Email,
    /// The role of the future membership.
    pub role: RoleName,
    /// A message to the invited user.
    pub message: Option<Lines>,
    /// How long it can be accepted.
    pub life: Duration,
}

impl NewInvitation {
    /// The invitation, not yet stored.
    pub fn to_invitation(
        &self,
        id: InvitationId,
        token_hash: SecretHash,
        sender: &Caller,
        now: Timestamp,
    ) -> Invitation {
        let (email, email_normalized) = self.email.clone().into_parts();
        let mut invitation = Invitation {
            id,
            revision: 1,
            organization_id: self.organization_id,
            email,
            email_normalized,
            role: self.role.clone(),
            message: self.message.clone(),
            token_hash,
            invited_by: None,
            by_platform: false,
            session_id: None,
            api_key_id: None,
            expires_at: now.after(self.life),
            created_at: now,
            updated_at: now,
        };
        invitation.sent_by(sender);
        invitation
    }
}

/// The two ways to name an invitation.
#[derive(Debug)]
pub enum InvitationKey {
    /// By its id.
    Id(InvitationId),
    /// By its token.
    Token(Plaintext),
}

/// A filter of invitations.
#[derive(Clone, Debug)]
pub enum InvitationFilter {
    /// Of an organization.
    Organization(OrganizationId),
    /// To an address.
    Email(NormalizedEmail),
}
