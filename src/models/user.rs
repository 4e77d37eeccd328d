//! Users.

use super::{
    Email, EmailPrefix, JsonObject, Name, NormalizedEmail, OrganizationId, Revision, Timestamp, UserId, WebUrl,
    email::GivenEmail,
    locked::resource,
    organization::StateFilter,
    stored::{stored_as_is, words},
    text::is_forbidden,
};

/// A person's account.
#[derive(Clone, Debug)]
pub struct User {
    /// Names it.
    pub id: UserId,
    /// Counts its writes.
    pub revision: Revision,
    /// The address as given.
    pub email: GivenEmail,
    /// What uniqueness and lookup use.
    pub email_normalized: NormalizedEmail,
    /// What the person is called.
    pub name: Name,
    /// A picture.
    pub avatar_url: Option<WebUrl>,
    /// When the address was verified.
    pub email_verified_at: Option<Timestamp>,
    /// Acts across every organization.
    pub is_platform_admin: bool,
    /// Whether it can do anything.
    pub state: UserState,
    /// Free-form.
    pub metadata: JsonObject,
    /// Set on a tombstone.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// What names it where it came from.
    pub external_id: Option<ExternalId>,
}

resource!(User);

words! {
    /// Whether a user can do anything.
    UserState {
        /// It can.
        Active = "active",
        /// It cannot, until reactivated.
        Suspended = "suspended",
    }
}

/// What names a user where it came from: 1 to 255 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// Most bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks an id. It is kept as given.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !(1..=Self::MAX_BYTES).contains(&text.len()) {
            Err("must have 1 to 255 bytes")
        } else if text.chars().any(is_forbidden) {
            Err("must not contain control characters")
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The id as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(ExternalId);

/// What a new user is made of.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The address.
    pub email: Email,
    /// What the person is called.
    pub name: Name,
    /// A picture.
    pub avatar_url: Option<WebUrl>,
    /// Free-form.
    pub metadata: JsonObject,
    /// The maker vouches for the address.
    pub email_verified: bool,
    /// What names it where it comes from.
    pub external_id: Option<ExternalId>,
}

impl NewUser {
    /// The user, not yet stored.
    pub fn into_user(self, id: UserId, now: Timestamp) -> User {
        let (email, email_normalized) = self.email.into_parts();
        User {
            id,
            revision: 1,
            email,
            email_normalized,
            name: self.name,
            avatar_url: self.avatar_url,
            email_verified_at: self.email_verified.then_some(now),
            is_platform_admin: false,
            state: UserState::Active,
            metadata: self.metadata,
            deleted_at: None,
            created_at: now,
            updated_at: now,
            external_id: self.external_id,
        }
    }
}

/// What an update writes; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct UserChanges {
    /// The address.
    pub email: Option<Email>,
    /// What the person is called.
    pub name: Option<Name>,
    /// A picture, or none.
    pub avatar_url: Option<Option<WebUrl>>,
    /// Free-form.
    pub metadata: Option<JsonObject>,
}

impl User {
    /// True if its keys, refresh tokens and sign-ins work.
    pub fn is_active(&self) -> bool {
        self.state == UserState::Active && self.deleted_at.is_none()
    }

    /// Writes `changes`. Another address is unverified; another spelling of the same one stays verified.
    pub fn apply(&mut self, changes: UserChanges) {
        if let Some(email) = changes.email {
            if *email.normalized() != self.email_normalized {
                self.email_verified_at = None;
            }
            (self.email, self.email_normalized) = email.into_parts();
        }
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(avatar_url) = changes.avatar_url {
            self.avatar_url = avatar_url;
        }
        if let Some(metadata) = changes.metadata {
            self.metadata = metadata;
        }
    }
}

/// Which users a list holds.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Members of this organization.
    pub organization_id: Option<OrganizationId>,
    /// In this state.
    pub state: StateFilter<UserState>,
    /// Whose normalised address begins so; orders the list by address.
    pub email_prefix: Option<EmailPrefix>,
    /// Created then or later.
    pub created_from: Option<Timestamp>,
    /// Created before.
    pub created_before: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn another_address_is_unverified_and_another_spelling_is_not() -> Result<(), &'static str> {
        let now = Timestamp::from_micros(0).ok_or("range")?;
        let new = NewUser {
            email: Email::parse("ada@example.com")?,
            name: Name::parse("Ada")?,
            avatar_url: None,
            metadata: JsonObject::default(),
            email_verified: true,
            external_id: None,
        };
        let mut user = new.into_user(UserId(Uuid::nil()), now);
        user.apply(UserChanges { email: Some(Email::parse("Ada@Example.com")?), ..UserChanges::default() });
        assert!(user.email_verified_at.is_some() && user.email.as_str() == "Ada@Example.com");
        user.apply(UserChanges { email: Some(Email::parse("eve@example.com")?), ..UserChanges::default() });
        assert!(user.email_verified_at.is_none());
        Ok(())
    }
}
