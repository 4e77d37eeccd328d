//! Tokens that are mailed and can be used once. Presenting one proves access to the mailbox it was sent to.

use std::time::Duration;

use super::{
    Email, NormalizedEmail, OneTimeTokenId, Sealed, SecretHash, Timestamp, User, UserId, email::GivenEmail,
    stored::words,
};

words! {
    /// The purpose of a token.
    Purpose {
        /// Prove that the user receives mail at the user's e-mail.
        EmailVerification = "email_verification",
        /// Set a new password.
        PasswordReset = "password_reset",
        /// Change the e-mail.
        EmailChange = "email_change",
    }
}

/// A token that was issued and not used yet.
#[derive(Clone, Debug)]
pub struct OneTimeToken {
    /// The id.
    pub id: OneTimeTokenId,
    /// The user.
    pub user_id: UserId,
    /// The purpose. A user has at most one token per purpose.
    pub purpose: Purpose,
    /// Hash of its secret.
    pub token_hash: SecretHash,
    /// The user's e-mail when the token was created.
    pub user_email_normalized: NormalizedEmail,
    /// The address that it was mailed to.
    pub email: GivenEmail,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was created.
    pub created_at: Timestamp,
    /// The token itself, sealed, so that it can be returned again.
    pub plaintext_sealed: Option<Sealed>,
}

impl OneTimeToken {
    /// A token for a user, not yet stored. It is mailed to the user's e-mail, or to `to`, an address that the user wants as e-mail.
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

    /// True if this token is returned again instead of a new one, which would void the one already mailed: it is usable, it was mailed to
    /// the same address, and at least half of its life is left.
    pub fn serves(&self, user: &User, to: Option<&Email>, now: Timestamp) -> bool {
        let email = to.map_or(user.email.as_str(), Email::as_str);
        let until = |from: Timestamp| self.expires_at.as_micros().saturating_sub(from.as_micros());
        let is_young = until(now).saturating_mul(2) >= until(self.created_at);
        self.is_usable(user, now) && self.email.as_str() == email && is_young
    }

    /// True if it is unexpired and its user is active with the same e-mail.
    pub fn is_usable(&self, user: &User, now: Timestamp) -> bool {
        now < self.expires_at && user.is_active() && self.user_email_normalized == user.email_normalized
    }
}
