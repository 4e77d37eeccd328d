//! Invitations.

use std::time::Duration;

use super::{
    InvitationId, NormalizedEmail, OrganizationId, Plaintext, Revision, RoleName, SecretHash, Timestamp, User, UserId,
    email::{Email, GivenEmail},
    locked::resource,
    text::Lines,
};

/// A pending offer of a membership to whoever has an address.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Names it.
    pub id: InvitationId,
    /// Counts its writes.
    pub revision: Revision,
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Who is invited, as given.
    pub email: GivenEmail,
    /// Who is invited, as compared.
    pub email_normalized: NormalizedEmail,
    /// What the invited will be.
    pub role: RoleName,
    /// What the invited is to read.
    pub message: Option<Lines>,
    /// Hash of the token's secret.
    pub token_hash: SecretHash,
    /// The user who sent it last.
    pub invited_by: Option<UserId>,
    /// True if that user acted as a platform admin, whose name no tenant sees.
    pub by_platform: bool,
    /// When it can no longer be accepted.
    pub expires_at: Timestamp,
    /// When it was made.
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

    /// True if a user has the address that is invited.
    pub fn is_to(&self, user: &User) -> bool {
        self.email_normalized == user.email_normalized
    }
}

/// What a new invitation is made of.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// Whose it will be.
    pub organization_id: OrganizationId,
    /// Who is invited.
    pub email: Email,
    /// What the invited will be.
    pub role: RoleName,
    /// What the invited is to read.
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
        (invited_by, by_platform): (Option<UserId>, bool),
        now: Timestamp,
    ) -> Invitation {
        let (email, email_normalized) = self.email.clone().into_parts();
        Invitation {
            id,
            revision: 1,
            organization_id: self.organization_id,
            email,
            email_normalized,
            role: self.role.clone(),
            message: self.message.clone(),
            token_hash,
            invited_by,
            by_platform,
            expires_at: now.after(self.life),
            created_at: now,
            updated_at: now,
        }
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

/// Which invitations a list holds.
#[derive(Clone, Debug)]
pub enum InvitationFilter {
    /// Of this organization.
    Organization(OrganizationId),
    /// Those that this address can accept.
    Email(NormalizedEmail),
}
