//! Events: what happened, as it is stored.

use super::{
    ApiKey, ApiKeyId, EventId, Invitation, Membership, OauthAccount, Organization, OrganizationId, Reach, ResourceId,
    Revision, Role, Session, Timestamp, User, UserId, action::Action, stored::words,
};

/// The place of an event in the order of all.
pub type Sequence = i64;

words! {
    /// The kinds of those who do something.
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
#[expect(clippy::large_enum_variant, reason = "few are held at once, and each for one change")]
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
            Self::OauthAccount(own) => (None, Some(own.user_id), ResourceType::OauthAccount, own.id.0, own.revision),
            // 0, as the message that shows a session has no etag to compare a revision with.
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
}
