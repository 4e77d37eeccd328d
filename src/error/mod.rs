//! Errors of the domain. Nothing here knows the wire or the database; `grpc/status.rs` and `db/error.rs` do.

mod refusal;

use std::{error::Error as StdError, time::Duration};

pub use self::refusal::{Denial, Limit, Precondition};
use crate::{models::json::Overflow, security::password::Unacceptable};

/// A result with our error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that break their rules: all of them, each with its path.
    #[error("invalid request: {}", .0.iter().map(|v| format!("{} {}", v.field, v.rule)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// The resource does not exist, or is outside the caller's reach.
    #[error("{} not found", .0.words())]
    NotFound(Entity),
    /// A unique value is taken.
    #[error("{}", .0.message())]
    Taken(Taken),
    /// The current state does not allow the call.
    #[error("{}", .0.message())]
    Precondition(Precondition),
    /// The credential is missing or invalid.
    #[error(
        "a valid API key or access token is required: send exactly one metadata entry `authorization: Bearer <key>`"
    )]
    Unauthenticated,
    /// The caller may not do this.
    #[error("{}", .0.message())]
    Denied(Denial),
    /// The etag is not the current one of the resource.
    #[error("the resource has changed since its etag was read; read it again")]
    EtagMismatch,
    /// Concurrent transactions collided.
    #[error("concurrent calls kept changing the same rows; nothing was changed, retry the call")]
    Conflict,
    /// The database cannot be reached, or does not answer in time.
    #[error("the database did not respond in time; retry later")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// By the clock of this process, no key signs access tokens yet.
    #[error("no access token can be signed yet; repeat the call later")]
    NoSigningKey,
    /// The call took longer than the server allows.
    #[error("the call took longer than the server's request timeout")]
    DeadlineExceeded,
    /// The request message did not arrive soon after the headers.
    #[error("the request message did not arrive in time; retry the call")]
    RequestTooSlow,
    /// The request cannot be decoded as the message of the method.
    #[error("the request is not a valid message of this method, or is nested too deeply")]
    RequestMalformed,
    /// The request message is too large.
    #[error("the request message is larger than the server accepts")]
    RequestTooLarge,
    /// No method has this path.
    #[error("no method has this path")]
    MethodUnknown,
    /// Events after the cursor are no longer stored.
    #[error("events after the cursor are no longer stored, or it is from another database; begin with ExportSnapshot")]
    EventCursorExpired,
    /// The client does not take the messages of a stream in time.
    #[error("the client did not read the stream's messages in time; resume from the last cursor")]
    StreamTooSlow,
    /// A stream without a credential has reached its maximum age.
    #[error("the stream has reached the maximum age of one without a credential; open another one")]
    StreamTooOld,
    /// The limit on open streams is reached.
    #[error("the limit on open streams is reached; close some, or try later")]
    StreamLimitReached,
    /// The limit on calls in flight is reached.
    #[error("the server is at capacity; repeat the call later")]
    Overloaded,
    /// The owner of the credential exceeds the allowed rate of calls.
    #[error("the credential's owner may make {per_second} calls per second with it; repeat the call later")]
    RateLimited {
        /// The rate.
        per_second: u32,
        /// The time until the next call is accepted.
        wait: Duration,
    },
    /// The budget of remembered requests of the credential's owner is used up, for the given time.
    #[error("too many requests with a request id are being remembered; repeat the call later, or without a request id")]
    RequestMemoryFull(Duration),
    /// The answer message is too large.
    #[error("the response would exceed the maximum size; request less at once")]
    AnswerTooLarge,
    /// There were too many wrong passwords. The next attempt is accepted after the given time.
    #[error("too many wrong passwords from this address or this caller; repeat the call later")]
    TooManyAttempts(Duration),
    /// The slug, in a field of the request, is reserved.
    #[error("{0} must not be a reserved slug")]
    SlugReserved(&'static str),
    /// A new password, in a field of the request, breaks a rule.
    #[error("{field} {}", .rule.words())]
    PasswordUnacceptable {
        /// The field.
        field: &'static str,
        /// The rule.
        rule: Unacceptable,
    },
    /// The server is stopping.
    #[error("the server is stopping; repeat the call, or resume from the last cursor")]
    Stopping,
    /// A sealed value cannot be opened.
    #[error("a stored value cannot be opened: it was altered or moved")]
    SealedValueUnreadable(#[source] crate::security::sealing::OpenError),
    /// An internal fault. The caller learns nothing but the request id.
    #[error("internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// An internal fault, described by `text` for the log.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(text.into().into())
    }

    /// True if it refuses one item of a batch and says nothing about the others: the item breaks a rule, or the caller may not do it. Every
    /// other error is one of the whole call.
    pub fn is_of_item(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_)
                | Self::NotFound(_)
                | Self::Taken(_)
                | Self::Precondition(_)
                | Self::Denied(_)
                | Self::EtagMismatch
        )
    }

    /// A single invalid field.
    pub fn invalid(field: &str, rule: &str) -> Self {
        Self::Invalid(vec![Violation { field: field.to_owned(), rule: rule.to_owned() }])
    }
}

impl From<Overflow> for Error {
    fn from(Overflow { field, rule }: Overflow) -> Self {
        Self::invalid(field, rule)
    }
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request.
    pub field: String,
    /// The rule, as in `must ..`.
    pub rule: String,
}

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A user.
    User,
    /// An organization.
    Organization,
    /// A membership.
    Membership,
    /// A role.
    Role,
    /// An invitation.
    Invitation,
    /// An OAuth account.
    OauthAccount,
    /// A session.
    Session,
    /// An API key.
    ApiKey,
    /// A gRPC service.
    Service,
}

impl Entity {
    /// The full name of the resource's message.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::User => "tenantry.v1.User",
            Self::Organization => "tenantry.v1.Organization",
            Self::Membership => "tenantry.v1.Membership",
            Self::Role => "tenantry.v1.Role",
            Self::Invitation => "tenantry.v1.Invitation",
            Self::OauthAccount => "tenantry.v1.OauthAccount",
            Self::Session => "tenantry.v1.Session",
            Self::ApiKey => "tenantry.v1.ApiKey",
            Self::Service => "grpc.Service",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Organization => "organization",
            Self::Membership => "membership",
            Self::Role => "role",
            Self::Invitation => "invitation",
            Self::OauthAccount => "OAuth account",
            Self::Session => "session",
            Self::ApiKey => "API key",
            Self::Service => "service",
        }
    }
}

/// Unique values that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The e-mail of a user.
    UserEmail,
    /// The external id of a user.
    UserExternalId,
    /// The user already has a password.
    Password,
    /// The slug of an organization.
    OrganizationSlug,
    /// The external id of an organization.
    OrganizationExternalId,
    /// The external id of a membership.
    MembershipExternalId,
    /// The user is already a member.
    Membership,
    /// The account at the provider is already linked.
    OauthAccount,
    /// The organization already has a role of this name.
    Role,
    /// The address is already invited to the organization.
    Invitation,
    /// A user with the address is already a member.
    Member,
    /// The request id belongs to another request.
    RequestId,
}

impl Taken {
    /// The request field that carries the value.
    pub fn field(self) -> &'static str {
        match self {
            Self::UserEmail | Self::Invitation | Self::Member => "email",
            Self::UserExternalId | Self::OrganizationExternalId | Self::MembershipExternalId => "external_id",
            Self::OrganizationSlug => "slug",
            Self::Membership | Self::Password => "user_id",
            Self::OauthAccount => "provider_user_id",
            Self::Role => "name",
            Self::RequestId => "request_id",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::UserEmail => "another user has this e-mail",
            Self::UserExternalId => "another user has this external id",
            Self::Password => {
                "the user already has a password; replacing it requires the password or access to the user's mail"
            }
            Self::OrganizationSlug => "another organization has this slug",
            Self::OrganizationExternalId => "another organization has this external id",
            Self::MembershipExternalId => "another membership of the organization has this external id",
            Self::Membership => "the user is already a member of the organization",
            Self::OauthAccount => "the account at the provider is already linked",
            Self::Role => "the organization already has a role of this name",
            Self::Invitation => "this e-mail is already invited to the organization; resend the invitation",
            Self::Member => "the user with this e-mail is already a member of the organization",
            Self::RequestId => "the request id was used for another request; use a new one",
        }
    }
}

/// An error and its causes, in one line for the log.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
