//! The failures of the domain. Nothing here knows the wire or the database; `status.rs` and `db/error.rs` do.

mod refusal;

use std::{error::Error as StdError, time::Duration};

pub use self::refusal::{Denial, Limit, Precondition};
use crate::security::password::Unacceptable;

/// A result whose error is ours.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break their rules: all of them, each with its path.
    #[error("invalid request: {}", .0.iter().map(|v| format!("{} {}", v.field, v.rule)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// There is no such thing, or it is outside the caller's reach.
    #[error("{} not found", .0.words())]
    NotFound(Entity),
    /// A unique value is taken.
    #[error("{}", .0.message())]
    Taken(Taken),
    /// The state of things does not allow it.
    #[error("{}", .0.message())]
    Precondition(Precondition),
    /// No usable credential.
    #[error(
        "a valid API key or access token is required: send exactly one metadata entry `authorization: Bearer <key>`"
    )]
    Unauthenticated,
    /// The caller may not do this.
    #[error("{}", .0.message())]
    Denied(Denial),
    /// The etag is not the resource's.
    #[error("the resource has changed since its etag was read; read it again")]
    EtagMismatch,
    /// Concurrent transactions collided.
    #[error("concurrent calls kept changing the same rows; nothing was changed, repeat the call")]
    Conflict,
    /// The database cannot be used in time.
    #[error("the database could not be used in time; repeat the call later")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// No key signs access tokens yet, by the clock of this process.
    #[error("no access token can be signed yet; repeat the call later")]
    NoSigningKey,
    /// The call took longer than the server allows.
    #[error("the call took longer than the server's request timeout")]
    DeadlineExceeded,
    /// The request message did not come soon after its headers.
    #[error("the request message did not come in time; repeat the call")]
    RequestTooSlow,
    /// The bytes are not the message of the method.
    #[error("the request is not the message of this method, or nests too deep")]
    RequestMalformed,
    /// The request message is too large.
    #[error("the request message is larger than the server takes")]
    RequestTooLarge,
    /// No method has this path.
    #[error("no method has this path")]
    MethodUnknown,
    /// Events after the cursor are gone.
    #[error("events after the cursor are no longer kept, or it is of another database; begin with ExportSnapshot")]
    EventCursorExpired,
    /// The client does not take the messages of a stream.
    #[error("the client did not take the stream's messages in time; resume from the last cursor")]
    StreamTooSlow,
    /// A stream without a credential is as old as it may be.
    #[error("the stream has been open as long as the server lets one without a credential be; open another one")]
    StreamTooOld,
    /// Too many streams.
    #[error("the server has as many streams open as it takes; close some, or try later")]
    StreamLimitReached,
    /// As many calls are being answered as the server takes.
    #[error("the server has as many calls as it takes; repeat the call later")]
    Overloaded,
    /// The owner of the credential makes more calls than it may.
    #[error("the owner of the credential may make {per_second} calls a second with it; repeat the call later")]
    RateLimited {
        /// How many that are.
        per_second: u32,
        /// How long until the next one is taken.
        wait: Duration,
    },
    /// As many answers are remembered for the owner of the credential as may be; so long until there is room for one.
    #[error(
        "as many requests with a request id are remembered as may be; repeat the call later, or without a request id"
    )]
    RequestMemoryFull(Duration),
    /// The answer message is too large.
    #[error("the answer would be larger than the server sends; ask for less at once")]
    AnswerTooLarge,
    /// Too many wrong passwords came; so long until the next try is taken.
    #[error("too many wrong passwords came from this address or this caller; repeat the call later")]
    TooManyAttempts(Duration),
    /// A new password breaks a rule, in a field of the request.
    #[error("{field} {}", .rule.words())]
    PasswordUnacceptable {
        /// The field.
        field: &'static str,
        /// The rule.
        rule: Unacceptable,
    },
    /// The server stops.
    #[error("the server is stopping; repeat the call, or resume from the last cursor")]
    Stopping,
    /// A stored value does not open.
    #[error("a stored value cannot be opened: it was altered or moved")]
    SealedValueUnreadable(#[source] crate::security::sealing::OpenError),
    /// A fault of ours. The caller learns nothing but the request id.
    #[error("internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// A fault of ours that `text` describes for the log.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(text.into().into())
    }

    /// One field that breaks a rule.
    pub fn invalid(field: &str, rule: &str) -> Self {
        Self::Invalid(vec![Violation { field: field.to_owned(), rule: rule.to_owned() }])
    }
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request.
    pub field: String,
    /// The rule, as `must ..`.
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
    /// A refresh token.
    Session,
    /// An API key.
    ApiKey,
    /// A service of gRPC.
    Service,
}

impl Entity {
    /// The name of the message.
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

/// The values that can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The e-mail of a user.
    UserEmail,
    /// The external id of a user.
    UserExternalId,
    /// A user has a password already.
    Password,
    /// The slug of an organization.
    OrganizationSlug,
    /// A user is a member already.
    Membership,
    /// The account at the provider is linked already.
    OauthAccount,
    /// The organization has a role of this name.
    Role,
    /// The organization invites the address already.
    Invitation,
    /// A user with the address is a member already.
    Member,
    /// The request id names another request.
    RequestId,
}

impl Taken {
    /// The request field that carries the value.
    pub fn field(self) -> &'static str {
        match self {
            Self::UserEmail | Self::Invitation | Self::Member => "email",
            Self::UserExternalId => "external_id",
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
                "the user has a password already; only who knows it, or reads the user's mail, can replace it"
            }
            Self::OrganizationSlug => "another organization has this slug",
            Self::Membership => "the user is a member of the organization already",
            Self::OauthAccount => "the account at the provider is linked already",
            Self::Role => "the organization has a role of this name already",
            Self::Invitation => "the organization invites this e-mail already; send the invitation again",
            Self::Member => "the user with this e-mail is a member of the organization already",
            Self::RequestId => "the request id named another request before; use a new one",
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
