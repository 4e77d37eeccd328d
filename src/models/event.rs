//! Events: what happened, as it is stored.

use super::{
    ApiKey, ApiKeyId, EventId, Invitation, Membership, OauthAccount, Organization, OrganizationId, PersonId, Reach,
    ResourceId, Revision, Role, Session, Timestamp, User, UserId, action::Action, stored::words,
};

/// The position of an event in the order of all events.
pub type Sequence = i64;

words! {
    /// The kinds of actors.
    ActorKind {
        /// The service itself.
        System = "system",
        /// A user.
        User = "user",
        /// An organization.
        Organization = "organization",
        /// A platform admin.
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
        OauthAccount = "oauth_account",
        /// Sessions.
        Session = "session",
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
#[expect(clippy::large_enum_variant, reason = "few of them exist at once, and none for longer than a transaction")]
pub enum State {
    /// A user.
    User(User),
    /// An organization.
    Organization(Organization),
    /// A membership.
    Membership(Membership),
    /// An OAuth account.
    OauthAccount(OauthAccount),
    /// A session.
    Session(Session),
    /// An API key.
    ApiKey(ApiKey),
    /// A role.
    Role(Role),
    /// An invitation.
    Invitation(Invitation),
}

macro_rules! states {
    ($($model:ident as $state:ident),+ $(,)?) => {$(
        impl From<$model> for State {
            fn from(model: $model) -> Self {
                Self::$state(model)
            }
        }
    )+};
}

states!(
    User as User,
    Organization as Organization,
    Membership as Membership,
    OauthAccount as OauthAccount,
    Session as Session,
    ApiKey as ApiKey,
    Role as Role,
    Invitation as Invitation,
);

/// The subject of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The organization that it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// The user that it concerns.
    pub user_id: Option<UserId>,
    /// The resource.
    pub resource: Option<(ResourceType, ResourceId)>,
    /// The revision of the resource; 0 without one.
    pub revision: Revision,
}

impl State {
    /// The subject of an event of this resource.
    pub fn subject(&self) -> Subject {
        let (organization_id, user_id, resource_type, id, revision) = match self {
            Self::User(user) => (None, Some(user.id), ResourceType::User, user.id.0, user.revision),
            Self::Organization(own) => (Some(own.id), None, ResourceType::Organization, own.id.0, own.revision),
            Self::Membership(own) => {
                (Some(own.organization_id), Some(own.user_id), ResourceType::Membership, own.id.0, own.revision)
            }
            Self::OauthAccount(own) => (None, Some(own.user_id), ResourceType::OauthAccount, own.id.0, own.revision),
            // 0, because the message of a session has no etag to compare a revision with.
            Self::Session(own) => (None, Some(own.user_id), ResourceType::Session, own.id.0, 0),
            Self::Role(role) => (Some(role.organization_id), None, ResourceType::Role, role.id.0, role.revision),
            Self::Invitation(own) => {
                (Some(own.organization_id), None, ResourceType::Invitation, own.id.0, own.revision)
            }
            Self::ApiKey(key) => (key.organization_id, key.user_id, ResourceType::ApiKey, key.id.0, key.revision),
        };
        Subject { organization_id, user_id, resource: Some((resource_type, ResourceId(id))), revision }
    }
}

/// A change in a transaction, which becomes an event before the commit.
#[derive(Clone, Debug)]
pub struct Change {
    /// The action.
    pub action: Action,
    /// The subject.
    pub subject: Subject,
    /// The resource before; `None` if it was created or did not change.
    pub before: Option<State>,
    /// The resource after; `None` if it was deleted or did not change.
    pub after: Option<State>,
    /// Details of refused calls, for an event about those.
    pub refusal: Option<Refusal>,
    /// The user of a created membership.
    pub member: Option<User>,
}

/// Refused calls.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The reason that the calls were answered with.
    pub reason: String,
    /// The number of calls.
    pub count: u32,
}

impl Change {
    /// A change of a resource.
    pub fn new(action: Action, before: Option<State>, after: Option<State>) -> Self {
        let subject = after.as_ref().or(before.as_ref()).map(State::subject).unwrap_or_default();
        Self { action, subject, before, after, refusal: None, member: None }
    }

    /// The user whose organizations see the change: it changed what they see of the user. A new user belongs to none yet.
    pub fn shown_to_organizations_of(&self) -> Option<UserId> {
        match (&self.before, &self.after) {
            (Some(State::User(user)), _) => Some(user.id),
            _ => None,
        }
    }

    /// An action that changes no resource.
    pub fn nothing(action: Action, subject: Subject) -> Self {
        Self { action, subject, before: None, after: None, refusal: None, member: None }
    }
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// The id. It starts with the time.
    pub id: EventId,
    /// When it happened.
    pub created_at: Timestamp,
    /// The action.
    pub action: Action,
    /// The kind of the actor.
    pub actor_kind: ActorKind,
    /// The user whose credential was presented.
    pub actor_user_id: Option<UserId>,
    /// The organization whose key was presented.
    pub actor_organization_id: Option<OrganizationId>,
    /// The presented key.
    pub actor_api_key_id: Option<ApiKeyId>,
    /// The organization that it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// The user that it concerns.
    pub user_id: Option<UserId>,
    /// The kind of the resource.
    pub resource_type: Option<ResourceType>,
    /// The resource.
    pub resource_id: Option<ResourceId>,
    /// The revision of the resource.
    pub revision: Revision,
    /// The address that it names, if it is about an invitation.
    pub address: Option<PersonId>,
    /// Everything else, encoded.
    pub details: Details,
}

/// The part of an event that no query filters on, as an encoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details(pub Vec<u8>);

impl Details {
    /// The encoded message.
    pub fn as_bytes(&self) -> &Vec<u8> {
        &self.0
    }
}

/// A filter of events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Concerning this user.
    pub user_id: Option<UserId>,
    /// About this resource.
    pub resource_id: Option<ResourceId>,
    /// With a credential of this user.
    pub actor_user_id: Option<UserId>,
    /// With this key.
    pub actor_api_key_id: Option<ApiKeyId>,
    /// Of these actions; `None` for all.
    pub actions: Option<Vec<Action>>,
}

/// The perspective of a reader of events, which decides how much of an actor is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// A platform admin: everything.
    Platform,
    /// A reader of an organization's events: everything except the identity of platform admins.
    Organization,
    /// A user who reads the user's own events: moreover, the address and the credential of other actors are hidden.
    User(UserId),
}

impl EventFilter {
    /// The reach of a query with this filter. A caller that names an organization must already be known to see its events.
    pub fn reach(&self, own: Reach) -> Reach {
        match (own, self.organization_id) {
            (Reach::Organization(_) | Reach::User(_), Some(id)) => Reach::Organization(id),
            (own, _) => own,
        }
    }

    /// The view of a query with this filter. A caller that names an organization must already be known to see its events.
    pub fn view(&self, reach: Reach) -> View {
        match reach {
            Reach::Everything(_) => View::Platform,
            Reach::User(id) if self.organization_id.is_none() => View::User(id),
            Reach::Organization(_) | Reach::User(_) => View::Organization,
        }
    }
}
