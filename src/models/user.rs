//! Users.

use unicode_normalization::is_nfc;

use super::{
    Email, EmailPrefix, Fragment, JsonChanges, JsonObject, MetadataFilters, Name, NormalizedEmail, OrganizationId,
    Period, Revision, Timestamp, UserId, WebUrl,
    characters::{exact, is_visible},
    email::GivenEmail,
    json::Overflow,
    organization::StateFilter,
    resource::resource,
    search::searchable,
    stored::{stored_as_is, words},
};

/// A person's account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The address as given.
    pub email: GivenEmail,
    /// The address as compared.
    pub email_normalized: NormalizedEmail,
    /// The display name.
    pub name: Name,
    /// The URL of a picture.
    pub avatar_url: Option<WebUrl>,
    /// When the address was verified.
    pub email_verified_at: Option<Timestamp>,
    /// Whether the user may act across all organizations.
    pub is_platform_admin: bool,
    /// The state.
    pub state: UserState,
    /// Free-form metadata.
    pub metadata: JsonObject,
    /// When it was deleted. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The id of the user in another system.
    pub external_id: Option<ExternalId>,
    /// When a session last began. Not part of the revision, and not in events.
    pub last_sign_in_at: Option<Timestamp>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
}

resource!(User);

words! {
    /// The state of a user.
    UserState {
        /// Can sign in, and its credentials are valid.
        Active = "active",
        /// Cannot sign in until reactivated, and its credentials are invalid.
        Suspended = "suspended",
    }
}

/// The id of a user, an organization or a membership in another system: 1 to 255 bytes in NFC without control characters and invisible
/// ones, with something visible and without blanks at its ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// Maximum size in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks an id. It is stored as given: an id that is changed would not be found by what the other system has. So two ids that look
    /// alike are refused, not made one.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !(1..=Self::MAX_BYTES).contains(&text.len()) {
            return Err("must have 1 to 255 bytes");
        }
        exact(text)?;
        if !text.chars().any(is_visible) {
            return Err("must have a visible character");
        }
        if text.trim() != text {
            return Err("must not begin or end with a blank");
        }
        if !is_nfc(text) {
            return Err("must be in the Unicode normalization form NFC");
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(ExternalId);

/// A user to create.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The address.
    pub email: Email,
    /// The display name.
    pub name: Name,
    /// The URL of a picture.
    pub avatar_url: Option<WebUrl>,
    /// Free-form metadata.
    pub metadata: JsonObject,
    /// Whether the caller vouches for the address.
    pub email_verified: bool,
    /// The id of the user in another system.
    pub external_id: Option<ExternalId>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
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
            last_sign_in_at: None,
            private_metadata: self.private_metadata,
        }
    }
}

/// Fields to update; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct UserChanges {
    /// The address.
    pub email: Option<Email>,
    /// The display name.
    pub name: Option<Name>,
    /// The URL of a picture; `Some(None)` removes it.
    pub avatar_url: Option<Option<WebUrl>>,
    /// Free-form metadata.
    pub metadata: Option<JsonChanges>,
    /// The id of the user in another system; `Some(None)` removes it.
    pub external_id: Option<Option<ExternalId>>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: Option<JsonChanges>,
    /// Whether the caller vouches for the address.
    pub email_verified: Option<bool>,
}

impl UserChanges {
    /// True if they change what only platform admins set.
    pub fn are_of_the_platform(&self) -> bool {
        self.external_id.is_some() || self.private_metadata.is_some()
    }
}

/// How a deleted user is restored.
#[derive(Clone, Debug, Default)]
pub struct UserRestoration {
    /// Whether its API keys work again.
    pub restore_api_keys: bool,
    /// Its address from now on, if not the former one.
    pub email: Option<Email>,
    /// Its id in the other system from now on, if not the former one.
    pub external_id: Option<ExternalId>,
}

impl User {
    /// True if the user is neither suspended nor deleted.
    pub fn is_active(&self) -> bool {
        self.state == UserState::Active && self.deleted_at.is_none()
    }

    /// True if an address may belong to another mailbox than this user's. Only the case of ASCII letters never matters: a mail server may
    /// treat other spellings with the same normalized form as different addresses.
    pub fn has_other_email(&self, email: Option<&Email>) -> bool {
        email.is_some_and(|email| {
            *email.normalized() != self.email_normalized || !email.as_str().eq_ignore_ascii_case(self.email.as_str())
        })
    }

    /// The text that the user is searched by.
    pub fn searched(&self) -> String {
        searchable(&[self.name.as_str(), self.email_normalized.as_str()])
    }

    /// Applies `changes` at `now`. A different address is unverified, unless the caller vouches for it; another spelling of the same one
    /// stays verified.
    pub fn apply(&mut self, changes: UserChanges, now: Timestamp) -> Result<(), Overflow> {
        // Without `..`: a forgotten field does not compile.
        let UserChanges { email, name, avatar_url, metadata, external_id, private_metadata, email_verified } = changes;
        if let Some(email) = email {
            if *email.normalized() != self.email_normalized {
                self.email_verified_at = None;
            }
            (self.email, self.email_normalized) = email.into_parts();
        }
        if let Some(is_verified) = email_verified {
            self.email_verified_at = is_verified.then(|| self.email_verified_at.unwrap_or(now));
        }
        if let Some(name) = name {
            self.name = name;
        }
        if let Some(avatar_url) = avatar_url {
            self.avatar_url = avatar_url;
        }
        if let Some(metadata) = metadata {
            metadata.apply("metadata", &mut self.metadata)?;
        }
        if let Some(external_id) = external_id {
            self.external_id = external_id;
        }
        if let Some(private_metadata) = private_metadata {
            private_metadata.apply("private_metadata", &mut self.private_metadata)?;
        }
        Ok(())
    }
}

/// A filter of users.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Members of this organization.
    pub organization_id: Option<OrganizationId>,
    /// In this state.
    pub state: StateFilter<UserState>,
    /// Whose normalized address starts with this; orders the list by address.
    pub email_prefix: Option<EmailPrefix>,
    /// Whose name or normalized address contains this.
    pub fragment: Option<Fragment>,
    /// Last changed at this time or later.
    pub updated_from: Option<Timestamp>,
    /// When a session last began. A user who never signed in is before every time.
    pub last_sign_in: Period,
    /// With these values in their metadata.
    pub metadata: MetadataFilters,
    /// With this id in another system.
    pub external_id: Option<ExternalId>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn external_ids_that_look_like_another_are_refused() {
        for (text, word) in [
            ("", "bytes"),
            (" ", "visible"),
            ("\u{3000}", "visible"),
            ("\u{301}", "visible"),
            (" crm-1", "blank"),
            ("crm-1 ", "blank"),
            ("crm-1\u{A0}", "blank"),
            ("Rene\u{301}", "NFC"),
            ("\u{212A}", "NFC"),
            ("crm\u{200B}1", "invisible"),
            ("crm-1\n", "control"),
        ] {
            let rule = ExternalId::parse(text).err().unwrap_or_default();
            assert!(rule.contains(word), "{text:?}: {rule}");
        }
        for text in ["crm-1", "CRM 2 \u{fc}", "日本", "O'Brien", "cus_9s6XKzkNRiz8i3", "-"] {
            assert_eq!(ExternalId::parse(text).as_ref().map(ExternalId::as_str), Ok(text));
        }
    }

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
            private_metadata: JsonObject::default(),
        };
        let mut user = new.into_user(UserId(Uuid::nil()), now);
        let to = |email| Ok::<_, &str>(UserChanges { email: Some(Email::parse(email)?), ..UserChanges::default() });
        user.apply(to("Ada@Example.com")?, now).map_err(|over| over.rule)?;
        assert!(user.email_verified_at.is_some() && user.email.as_str() == "Ada@Example.com");
        user.apply(to("eve@example.com")?, now).map_err(|over| over.rule)?;
        assert!(user.email_verified_at.is_none());
        let vouched = UserChanges { email_verified: Some(true), ..UserChanges::default() };
        user.apply(UserChanges { email: Some(Email::parse("eva@example.com")?), ..vouched }, now)
            .map_err(|over| over.rule)?;
        assert!(user.email_verified_at.is_some());
        Ok(())
    }
}
