//! Checks of refusals: code, reason, domain, and no implementation details.

use tenantry::pb::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Asserts that a call was refused for a reason, with the reason's code. Returns the status.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, reason: ErrorReason) -> Status {
    let status = result.expect_err("the call must be refused");
    assert_eq!(reason_of(&status), name(reason), "{status:?}");
    assert_eq!(status.code(), code(reason), "{status:?}");
    assert_says_nothing_of_the_inside(&status);
    status
}

/// The reason of a status.
#[track_caller]
pub fn reason_of(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("a refusal carries ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "tenantry");
    info.reason
}

/// A reason as it is sent.
pub fn name(reason: ErrorReason) -> String {
    reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned()
}

/// The fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map_or_else(Vec::new, |request| request.field_violations);
    violations.into_iter().map(|violation| violation.field).collect()
}

pub fn assert_says_nothing_of_the_inside(status: &Status) {
    let text = format!("{} {}", status.message(), String::from_utf8_lossy(status.details())).to_lowercase();
    for word in ["diesel", "sqlite", "postgres", "cf_", "src/", "panicked", "prost", "hyper", "constraint"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    // Only as a separate word: an id may contain these digits.
    assert!(text.split(|c: char| !c.is_ascii_alphanumeric()).all(|word| word != "bb8"), "{text}");
}

/// The code of a reason, from the comments in `error_reason.proto`.
pub fn code(reason: ErrorReason) -> Code {
    use ErrorReason as R;
    match reason {
        R::Unspecified => Code::Ok,
        R::InvalidArgument | R::RequestMalformed | R::PasswordUnacceptable | R::OrganizationSlugReserved => {
            Code::InvalidArgument
        }
        R::MethodUnknown => Code::Unimplemented,
        R::Unauthenticated => Code::Unauthenticated,
        R::ScopeMissing
        | R::PlatformAdminRequired
        | R::RoleInsufficient
        | R::ScopeNotHeld
        | R::ExpiryNotHeld
        | R::RateNotHeld
        | R::FormerSecret
        | R::ApiKeyRequired
        | R::IpRangeNotHeld => Code::PermissionDenied,
        R::UserNotFound
        | R::OrganizationNotFound
        | R::MembershipNotFound
        | R::RoleNotFound
        | R::InvitationNotFound
        | R::OauthAccountNotFound
        | R::SessionNotFound
        | R::ServiceNotFound
        | R::ApiKeyNotFound => Code::NotFound,
        R::UserEmailTaken
        | R::UserExternalIdTaken
        | R::OrganizationExternalIdTaken
        | R::MembershipExternalIdTaken
        | R::PasswordExists
        | R::OrganizationSlugTaken
        | R::MembershipExists
        | R::RoleExists
        | R::InvitationExists
        | R::OauthAccountLinked
        | R::RequestIdReused => Code::AlreadyExists,
        R::LastOwner
        | R::LastPlatformAdmin
        | R::UserSuspended
        | R::OrganizationSuspended
        | R::ApiKeyRevoked
        | R::RoleInUse
        | R::MembershipDisabled
        | R::LimitReached
        | R::NotAnOwner
        | R::InvitationExpired
        | R::InvitationEmailMismatch
        | R::EmailNotVerified
        | R::SignInRejected
        | R::PasswordRejected
        | R::CredentialRequired
        | R::ProofRequired
        | R::OneTimeTokenRejected
        | R::RefreshTokenRejected => Code::FailedPrecondition,
        R::EtagMismatch | R::Conflict | R::StreamTooSlow => Code::Aborted,
        R::EventCursorExpired => Code::OutOfRange,
        R::Overloaded | R::TooManyAttempts | R::RateLimited | R::StreamLimitReached => Code::ResourceExhausted,
        R::RequestTooLarge | R::AnswerTooLarge | R::RequestMemoryFull => Code::ResourceExhausted,
        R::Unavailable => Code::Unavailable,
        R::DeadlineExceeded => Code::DeadlineExceeded,
        R::SealedValueUnreadable => Code::DataLoss,
        R::Internal => Code::Internal,
    }
}
