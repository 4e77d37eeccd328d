//! Tokens that are mailed and work once: who brings one back reads the mail of the address that it was sent to.

use std::time::Duration;

use super::{
    Email, NormalizedEmail, OneTimeTokenId, Sealed, SecretHash, Timestamp, User, UserId, email::GivenEmail,
    stored::words,
};

words! {
    /// What a token is for.
    Purpose {
        /// To show that the user reads the mail of its e-mail.
        EmailVerification = "email_verification",
        /// To set a new password.
        PasswordReset = "password_reset",
        /// To have another e-mail.
        EmailChange = "email_change",
    }
}

/// A token that has not come back.
#[derive(Clone, Debug)]
pub struct OneTimeToken {
    /// Names it.
    pub id: OneTimeTokenId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it is for. There is one of a kind for a user.
    pub purpose: Purpose,
    /// Hash of its secret.
    pub token_hash: SecretHash,
    /// The user's e-mail when it was made.
    pub user_email_normalized: NormalizedEmail,
    /// Where it was mailed to.
    pub email: GivenEmail,
    /// When it stops.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its text, sealed, to be told again.
    pub plaintext_sealed: Option<Sealed>,
}

impl OneTimeToken {
    /// A token for a user, not yet stored. It is mailed to the user's e-mail, or to another one that the user wants to have.
    pub fn new(
        (id, token_hash): (OneTimeTokenId, SecretHash),
        purpose: Purpose,
        user: &User,
        to: Option<&Email>,
        life: Duration,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            user_id: user.id,
            purpose,
            token_hash,
            user_email_normalized: user.email_normalized.clone(),
            email: to.map_or_else(|| user.email.clone(), |email| email.clone().into_parts().0),
            expires_at: now.after(life),
            created_at: now,
            plaintext_sealed: None,
        }
    }

    /// True if a user who starts again gets this token once more: it can be used, it was mailed to where the next one would be,
    /// and at least half of its life is left. A new one would make the one in the mail useless.
    pub fn serves(&self, user: &User, to: Option<&Email>, now: Timestamp) -> bool {
        let email = to.map_or(user.email.as_str(), Email::as_str);
        let until = |from: Timestamp| self.expires_at.as_micros().saturating_sub(from.as_micros());
        let is_young = until(now).saturating_mul(2) >= until(self.created_at);
        self.is_usable(user, now) && self.email.as_str() == email && is_young
    }

    /// True if it can be used by its user as it is now.
    pub fn is_usable(&self, user: &User, now: Timestamp) -> bool {
        now < self.expires_at && user.is_active() && self.user_email_normalized == user.email_normalized
    }
}
