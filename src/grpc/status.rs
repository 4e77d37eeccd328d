//! The one place where errors become statuses: code, reason, details. Server faults are logged here, once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt as _};

use crate::{
    error::{Denial, Entity, Error, Precondition, Taken, chain},
    pb::ErrorReason,
    security::password::Unacceptable,
    telemetry,
};

/// The `ErrorInfo` domain of all reasons.
pub const DOMAIN: &str = "tenantry";

/// Default `RetryInfo` delay for calls that were not served.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Returns the code and the reason of an error.
fn classify(error: &Error) -> (Code, ErrorReason) {
    use ErrorReason as R;
    match error {
        Error::Invalid(_) => (Code::InvalidArgument, R::InvalidArgument),
        Error::RequestMalformed => (Code::InvalidArgument, R::RequestMalformed),
        Error::RequestTooLarge => (Code::ResourceExhausted, R::RequestTooLarge),
        Error::MethodUnknown => (Code::Unimplemented, R::MethodUnknown),
        Error::Unauthenticated => (Code::Unauthenticated, R::Unauthenticated),
        Error::Denied(denial) => (
            Code::PermissionDenied,
            match denial {
                Denial::ScopeMissing(_) => R::ScopeMissing,
                Denial::NotPlatformAdmin => R::PlatformAdminRequired,
                Denial::ApiKeyRequired => R::ApiKeyRequired,
                Denial::RoleInsufficient(_) => R::RoleInsufficient,
                Denial::RateNotHeld => R::RateNotHeld,
                Denial::FormerSecret => R::FormerSecret,
                Denial::ScopeNotHeld(_) => R::ScopeNotHeld,
                Denial::ExpiryNotHeld => R::ExpiryNotHeld,
                Denial::IpRangeNotHeld => R::IpRangeNotHeld,
            },
        ),
        Error::NotFound(entity) => (Code::NotFound, not_found(*entity)),
        Error::Taken(taken) => (
            Code::AlreadyExists,
            match taken {
                Taken::UserEmail => R::UserEmailTaken,
                Taken::UserExternalId => R::UserExternalIdTaken,
                Taken::Password => R::PasswordExists,
                Taken::OrganizationSlug => R::OrganizationSlugTaken,
                Taken::OrganizationExternalId => R::OrganizationExternalIdTaken,
                Taken::MembershipExternalId => R::MembershipExternalIdTaken,
                Taken::Membership | Taken::Member => R::MembershipExists,
                Taken::OauthAccount => R::OauthAccountLinked,
                Taken::Role => R::RoleExists,
                Taken::Invitation => R::InvitationExists,
                Taken::RequestId => R::RequestIdReused,
            },
        ),
        Error::Precondition(precondition) => (
            Code::FailedPrecondition,
            match precondition {
                Precondition::LastOwner(_) => R::LastOwner,
                Precondition::LastPlatformAdmin => R::LastPlatformAdmin,
                Precondition::UserSuspended => R::UserSuspended,
                Precondition::OrganizationSuspended => R::OrganizationSuspended,
                Precondition::ApiKeyRevoked => R::ApiKeyRevoked,
                Precondition::MembershipDisabled => R::MembershipDisabled,
                Precondition::RoleInUse => R::RoleInUse,
                Precondition::LimitReached(..) => R::LimitReached,
                Precondition::NotAnOwner => R::NotAnOwner,
                Precondition::RefreshTokenRejected => R::RefreshTokenRejected,
                Precondition::InvitationExpired => R::InvitationExpired,
                Precondition::InvitationEmailMismatch => R::InvitationEmailMismatch,
                Precondition::EmailNotVerified => R::EmailNotVerified,
                Precondition::SignInRejected => R::SignInRejected,
                Precondition::PasswordRejected => R::PasswordRejected,
                Precondition::OneTimeTokenRejected => R::OneTimeTokenRejected,
                Precondition::CredentialRequired => R::CredentialRequired,
                Precondition::ProofRequired => R::ProofRequired,
            },
        ),
        Error::EtagMismatch => (Code::Aborted, R::EtagMismatch),
        Error::Conflict => (Code::Aborted, R::Conflict),
        Error::Unavailable(_) | Error::NoSigningKey | Error::Stopping | Error::StreamTooOld => {
            (Code::Unavailable, R::Unavailable)
        }
        Error::DeadlineExceeded | Error::RequestTooSlow => (Code::DeadlineExceeded, R::DeadlineExceeded),
        Error::EventCursorExpired => (Code::OutOfRange, R::EventCursorExpired),
        Error::StreamTooSlow => (Code::Aborted, R::StreamTooSlow),
        Error::StreamLimitReached => (Code::ResourceExhausted, R::StreamLimitReached),
        Error::TooManyAttempts(_) => (Code::ResourceExhausted, R::TooManyAttempts),
        Error::RateLimited { .. } => (Code::ResourceExhausted, R::RateLimited),
        Error::RequestMemoryFull(_) => (Code::ResourceExhausted, R::RequestMemoryFull),
        Error::AnswerTooLarge => (Code::ResourceExhausted, R::AnswerTooLarge),
        Error::PasswordUnacceptable { .. } => (Code::InvalidArgument, R::PasswordUnacceptable),
        Error::SlugReserved(_) => (Code::InvalidArgument, R::OrganizationSlugReserved),
        Error::Overloaded => (Code::ResourceExhausted, R::Overloaded),
        Error::SealedValueUnreadable(_) => (Code::DataLoss, R::SealedValueUnreadable),
        Error::Internal(_) => (Code::Internal, R::Internal),
    }
}

/// Returns the reason of an error.
pub fn reason(error: &Error) -> ErrorReason {
    classify(error).1
}

/// True for the reasons of PERMISSION_DENIED.
pub fn is_denial(reason: ErrorReason) -> bool {
    use ErrorReason as R;
    matches!(
        reason,
        R::ScopeMissing
            | R::PlatformAdminRequired
            | R::ApiKeyRequired
            | R::RoleInsufficient
            | R::RateNotHeld
            | R::FormerSecret
            | R::ScopeNotHeld
            | R::ExpiryNotHeld
            | R::IpRangeNotHeld
    )
}

/// Returns the details of an error as the metadata of its `ErrorInfo`.
pub fn metadata(error: &Error) -> BTreeMap<String, String> {
    let entries = match error {
        Error::Taken(taken) => vec![("field", taken.field().to_owned())],
        Error::Denied(Denial::ScopeMissing(scope) | Denial::ScopeNotHeld(scope)) => vec![("scope", scope.clone())],
        Error::Denied(Denial::RoleInsufficient(permission)) => vec![("permission", permission.clone())],
        Error::Precondition(Precondition::LimitReached(limit, most)) => {
            vec![("limit", limit.name().to_owned()), ("most", most.to_string())]
        }
        Error::RateLimited { per_second, .. } => vec![("calls_per_second", per_second.to_string())],
        Error::PasswordUnacceptable { rule, .. } => {
            let (name, bound) = match rule {
                Unacceptable::TooShort(least) => ("TOO_SHORT", Some(("least", least))),
                Unacceptable::TooLong(most) => ("TOO_LONG", Some(("most", most))),
                Unacceptable::Common => ("COMMON", None),
                Unacceptable::Personal => ("PERSONAL", None),
            };
            let bound = bound.map(|(bound, number)| (bound, number.to_string()));
            std::iter::once(("rule", name.to_owned())).chain(bound).collect()
        }
        Error::Internal(_) => vec![("request_id", telemetry::request_id())],
        _ => Vec::new(),
    };
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the reason for an entity that does not exist.
pub fn not_found(entity: Entity) -> ErrorReason {
    match entity {
        Entity::User => ErrorReason::UserNotFound,
        Entity::Organization => ErrorReason::OrganizationNotFound,
        Entity::Membership => ErrorReason::MembershipNotFound,
        Entity::Role => ErrorReason::RoleNotFound,
        Entity::Invitation => ErrorReason::InvitationNotFound,
        Entity::OauthAccount => ErrorReason::OauthAccountNotFound,
        Entity::Session => ErrorReason::SessionNotFound,
        Entity::ApiKey => ErrorReason::ApiKeyNotFound,
        Entity::Service => ErrorReason::ServiceNotFound,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = classify(&error);
        let mut details = ErrorDetails::new();
        match &error {
            Error::Invalid(violations) => {
                for violation in violations {
                    details.add_bad_request_violation(&violation.field, &violation.rule);
                }
            }
            Error::NotFound(entity) => {
                details.set_resource_info(entity.type_name(), "", "", "");
            }
            Error::Precondition(Precondition::LastOwner(organizations)) => {
                let violation = |id: &_| PreconditionViolation::new("LAST_OWNER", format!("organizations/{id}"), "");
                details.set_precondition_failure(organizations.iter().map(violation).collect::<Vec<_>>());
            }
            Error::TooManyAttempts(wait) | Error::RequestMemoryFull(wait) | Error::RateLimited { wait, .. } => {
                details.set_retry_info(Some(*wait));
            }
            Error::SlugReserved(field) => {
                details.add_bad_request_violation(*field, "must not be a reserved slug");
            }
            Error::PasswordUnacceptable { field, rule } => {
                details.add_bad_request_violation(*field, rule.words());
            }
            Error::NoSigningKey => {
                tracing::error!(
                    "no signing key is active yet: the clock of this process is behind the clock of the process that created the keys"
                );
                details.set_retry_info(Some(RETRY_DELAY));
            }
            Error::Conflict | Error::Stopping | Error::Overloaded => {
                details.set_retry_info(Some(RETRY_DELAY));
            }
            Error::Unavailable(source) => {
                tracing::warn!(error = chain(source.as_ref()), "the database is unavailable");
                details.set_retry_info(Some(RETRY_DELAY));
            }
            Error::SealedValueUnreadable(source) => {
                tracing::error!(error = %source, "a sealed value cannot be decrypted");
            }
            Error::Internal(source) => {
                tracing::error!(error = chain(source.as_ref()), "internal error");
            }
            _ => {}
        }
        details.set_error_info(reason_text(reason), DOMAIN, metadata(&error).into_iter().collect::<HashMap<_, _>>());
        Status::with_error_details(code, error.to_string(), details)
    }
}

/// Returns a reason as it is sent: the name of the enum value without the enum's prefix.
pub fn reason_text(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}
