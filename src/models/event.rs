//! Events: what happened, as it is stored.

use super::{
    ApiKey, ApiKeyId, EventId, Invitation, Membership, OAuthAccount, Organization, OrganizationId, Reach, RefreshToken,
    ResourceId, Revision, Role, Timestamp, User, UserId,
    stored::{StoredText as _, words},
};

/// The place of an event in the order of all.
pub type Sequence = i64;

words! {
    /// What happened.
    Action {
        /// A user was created.
        UserCreated = "user.created",
        /// A user was updated.
        UserUpdated = "user.updated",
        /// A user was deleted.
        UserDeleted = "user.deleted",
        /// A user was undeleted.
        UserUndeleted = "user.undeleted",
        /// A user was erased.
        UserPurged = "user.purged",
        /// A user was suspended.
        UserSuspended = "user.suspended",
        /// A user was reactivated.
        UserReactivated = "user.reactivated",
        /// A user became a platform admin.
        UserPlatformAdminGranted = "user.platform_admin_granted",
        /// A user is no platform admin any more.
        UserPlatformAdminRevoked = "user.platform_admin_revoked",
        /// An organization was created.
        OrganizationCreated = "organization.created",
        /// An organization was updated.
        OrganizationUpdated = "organization.updated",
        /// An organization was deleted.
        OrganizationDeleted = "organization.deleted",
        /// An organization was undeleted.
        OrganizationUndeleted = "organization.undeleted",
        /// An organization was purged.
        OrganizationPurged = "organization.purged",
        /// An organization was suspended.
        OrganizationSuspended = "organization.suspended",
        /// An organization was reactivated.
        OrganizationReactivated = "organization.reactivated",
        /// A membership was created.
        MembershipCreated = "membership.created",
        /// A membership was updated.
        MembershipUpdated = "membership.updated",
        /// A membership became an owner's in place of another one.
        MembershipOwnershipTransferred = "membership.ownership_transferred",
        /// A membership was deleted.
        MembershipDeleted = "membership.deleted",
        /// A role was created.
        RoleCreated = "role.created",
        /// A role was updated.
        RoleUpdated = "role.updated",
        /// A role was deleted.
        RoleDeleted = "role.deleted",
        /// Somebody was invited.
        InvitationCreated = "invitation.created",
        /// An invitation no longer names who made it.
        InvitationUpdated = "invitation.updated",
        /// An invitation got another token and another life.
        InvitationResent = "invitation.resent",
        /// An invitation was taken back.
        InvitationRevoked = "invitation.revoked",
        /// An invitation became a membership.
        InvitationAccepted = "invitation.accepted",
        /// An invitation was declined.
        InvitationDeclined = "invitation.declined",
        /// An invitation that had expired was removed.
        InvitationExpired = "invitation.expired",
        /// An OAuth account was linked.
        OauthAccountLinked = "oauth_account.linked",
        /// An account got other tokens.
        OauthAccountTokensSet = "oauth_account.tokens_set",
        /// An account's sealed tokens were told.
        OauthAccountTokensOpened = "oauth_account.tokens_opened",
        /// An OAuth account was unlinked.
        OauthAccountUnlinked = "oauth_account.unlinked",
        /// A session began.
        RefreshTokenCreated = "refresh_token.created",
        /// A session went on with another token.
        RefreshTokenRotated = "refresh_token.rotated",
        /// A session was ended.
        RefreshTokenRevoked = "refresh_token.revoked",
        /// A session was ended because a traded token came again.
        RefreshTokenReused = "refresh_token.reused",
        /// An API key was created.
        ApiKeyCreated = "api_key.created",
        /// An API key was updated.
        ApiKeyUpdated = "api_key.updated",
        /// An API key got another secret.
        ApiKeyRotated = "api_key.rotated",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key went with its owner.
        ApiKeyDeleted = "api_key.deleted",
        /// A call came with a known key that cannot be used.
        ApiKeyRejected = "api_key.rejected",
        /// A call was denied.
        CallDenied = "call.denied",
    }
}

words! {
    /// The kinds of those who do something.
    ActorKind {
        /// The service itself.
        System = "system",
        /// A key of a user.
        User = "user",
        /// A key of an organization.
        Organization = "organization",
        /// A key of a platform admin.
        PlatformAdmin = "platform_admin",
    }
}

words! {
    /// The kinds of resources.
    ResourceType {
        /// Users.
        User = "user",
        /// Organizations.
        Organization = "organization",
        /// Memberships.
        Membership = "membership",
        /// OAuth accounts.
        OAuthAccount = "oauth_account",
        /// Sessions, each as its current refresh token.
        RefreshToken = "refresh_token",
        /// API keys.
        ApiKey = "api_key",
        /// Roles.
        Role = "role",
        /// Invitations.
        Invitation = "invitation",
    }
}

/// A resource as it was at one moment.
#[derive(Clone, Debug)]
pub enum State {
    /// A user.
    User(User),
    /// An organization.
    Organization(Organization),
    /// A membership.
    Membership(Membership),
    /// An OAuth account.
    OAuthAccount(OAuthAccount),
    /// The current token of a session.
    RefreshToken(RefreshToken),
    /// An API key.
    ApiKey(ApiKey),
    /// A role.
    Role(Role),
    /// An invitation.
    Invitation(Invitation),
}

macro_rules! states {
    ($($model:ident),+) => {$(
        impl From<$model> for State {
            fn from(model: $model) -> Self {
                Self::$model(model)
            }
        }
    )+};
}

states!(User, Organization, Membership, OAuthAccount, RefreshToken, ApiKey, Role, Invitation);

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The organization that it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// The user that it is about.
    pub user_id: Option<UserId>,
    /// The resource.
    pub resource: Option<(ResourceType, ResourceId)>,
    /// The revision of the resource; 0 without one.
    pub revision: Revision,
}

impl State {
    /// What an event of this resource is about.
    pub fn subject(&self) -> Subject {
        let (organization_id, user_id, resource_type, id, revision) = match self {
            Self::User(user) => (None, Some(user.id), ResourceType::User, user.id.0, user.revision),
            Self::Organization(own) => (Some(own.id), None, ResourceType::Organization, own.id.0, own.revision),
            Self::Membership(own) => {
                (Some(own.organization_id), Some(own.user_id), ResourceType::Membership, own.id.0, own.revision)
            }
            Self::OAuthAccount(own) => (None, Some(own.user_id), ResourceType::OAuthAccount, own.id.0, own.revision),
            // The session: its tokens come and go, each with a revision of its own.
            Self::RefreshToken(own) => (None, Some(own.user_id), ResourceType::RefreshToken, own.family_id.0, 0),
            Self::Role(role) => (Some(role.organization_id), None, ResourceType::Role, role.id.0, role.revision),
            Self::Invitation(own) => {
                (Some(own.organization_id), None, ResourceType::Invitation, own.id.0, own.revision)
            }
            Self::ApiKey(key) => (key.organization_id, key.user_id, ResourceType::ApiKey, key.id.0, key.revision),
        };
        Subject { organization_id, user_id, resource: Some((resource_type, ResourceId(id))), revision }
    }
}

/// What a transaction did, to become an event before it commits.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub action: Action,
    /// What it is about.
    pub subject: Subject,
    /// The resource before, if it was there and changed.
    pub before: Option<State>,
    /// The resource after, if it is there and changed.
    pub after: Option<State>,
    /// Why calls were refused, and how many, if that is what happened.
    pub refusal: Option<Refusal>,
}

/// Refused calls.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason that was answered.
    pub reason: String,
    /// How many calls.
    pub count: u32,
}

impl Change {
    /// A change of a resource.
    pub fn new(action: Action, before: Option<State>, after: Option<State>) -> Self {
        let subject = after.as_ref().or(before.as_ref()).map(State::subject).unwrap_or_default();
        Self { action, subject, before, after, refusal: None }
    }

    /// Something that changes nothing.
    pub fn nothing(action: Action, subject: Subject) -> Self {
        Self { action, subject, before: None, after: None, refusal: None }
    }
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// Names it; begins with the time.
    pub id: EventId,
    /// When it happened.
    pub created_at: Timestamp,
    /// What happened.
    pub action: Action,
    /// What kind of caller did it.
    pub actor_kind: ActorKind,
    /// The user whose key was presented.
    pub actor_user_id: Option<UserId>,
    /// The organization whose key was presented.
    pub actor_organization_id: Option<OrganizationId>,
    /// The presented key.
    pub actor_api_key_id: Option<ApiKeyId>,
    /// The organization that it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// The user that it is about.
    pub user_id: Option<UserId>,
    /// The kind of its resource.
    pub resource_type: Option<ResourceType>,
    /// Its resource.
    pub resource_id: Option<ResourceId>,
    /// The revision of its resource.
    pub revision: Revision,
    /// Everything else, encoded.
    pub details: Details,
}

/// What events tell beyond what they are found by: an encoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details(pub Vec<u8>);

impl Details {
    /// The encoded message.
    pub fn as_bytes(&self) -> &Vec<u8> {
        &self.0
    }
}

/// Which events a list or a stream holds.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this organization.
    pub organization_id: Option<OrganizationId>,
    /// About this user.
    pub user_id: Option<UserId>,
    /// About this resource.
    pub resource_id: Option<ResourceId>,
    /// Done with a key of this user.
    pub actor_user_id: Option<UserId>,
    /// Done with this key.
    pub actor_api_key_id: Option<ApiKeyId>,
    /// Of these actions; `None` for all.
    pub actions: Option<Vec<Action>>,
    /// Of then or later.
    pub created_from: Option<Timestamp>,
    /// Before.
    pub created_before: Option<Timestamp>,
}

/// From where somebody looks at events, which decides how much of an actor is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A platform admin: everything.
    Platform,
    /// Whoever sees the events of an organization: of the platform only that it acted.
    Organization,
    /// A user, of what is about it: of others, moreover, not from where and with what they acted.
    User(UserId),
}

impl EventFilter {
    /// The reach within which the events of this filter are found. Whoever names an organization was found to see its events.
    pub fn reach(&self, own: Reach) -> Reach {
        match (own, self.organization_id) {
            (Reach::Organization(_) | Reach::User(_), Some(id)) => Reach::Organization(id),
            (own, _) => own,
        }
    }

    /// From where a reach looks at the events of this filter. Whoever names an organization was found to see its events.
    pub fn view(&self, reach: Reach) -> View {
        match reach {
            Reach::Everything => View::Platform,
            Reach::User(id) if self.organization_id.is_none() => View::User(id),
            Reach::Organization(_) | Reach::User(_) => View::Organization,
        }
    }

    /// True if nothing but actions and times is asked for.
    pub fn is_by_action_alone(&self) -> bool {
        let others = [
            self.organization_id.is_some(),
            self.user_id.is_some(),
            self.resource_id.is_some(),
            self.actor_user_id.is_some(),
            self.actor_api_key_id.is_some(),
        ];
        self.actions.is_some() && !others.contains(&true)
    }
}

impl Action {
    /// The kind of resource that it happens to.
    pub fn resource_type(self) -> Option<ResourceType> {
        let (resource, _) = self.as_stored().split_once('.')?;
        ResourceType::from_stored(resource.to_owned()).ok()
    }

    /// The actions that a text names: one, as `user.suspended`, or all of a resource, as `user.*`.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn named(text: &str) -> Result<Vec<Self>, &'static str> {
        let named = |action: &&Self| match text.strip_suffix('*') {
            Some(resource) => resource.ends_with('.') && action.as_stored().starts_with(resource),
            None => action.as_stored() == text,
        };
        let named: Vec<Self> = Self::ALL.iter().filter(named).copied().collect();
        if named.is_empty() {
            Err("must be an action, as user.suspended, or all of a resource, as user.*")
        } else {
            Ok(named)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_but_one_happens_to_a_resource() {
        let without = Action::ALL.iter().filter(|action| action.resource_type().is_none());
        assert_eq!(without.collect::<Vec<_>>(), [&Action::CallDenied]);
    }

    #[test]
    fn a_text_names_one_action_or_all_of_a_resource() {
        assert_eq!(Action::named("user.suspended"), Ok(vec![Action::UserSuspended]));
        assert_eq!(Action::named("membership.*").map(|all| all.len()), Ok(4));
        for text in ["", "*", ".*", "user", "user*", "us.*", "user.suspended*", "User.Suspended", "nothing.*"] {
            assert!(Action::named(text).is_err(), "{text}");
        }
    }
}
