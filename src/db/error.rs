//! Maps diesel errors to [`Error`]. PostgreSQL reports a violated constraint by name, SQLite by its columns; both are listed here.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

use crate::error::{Error, Taken};

/// Unique constraints: name on PostgreSQL, columns on SQLite, and the error each maps to.
const UNIQUE: [(&str, &str, Taken); 9] = [
    ("cf_users_email_key", "cf_users.email_normalized", Taken::UserEmail),
    ("cf_users_external_id_key", "cf_users.external_id", Taken::UserExternalId),
    ("cf_organizations_slug_key", "cf_organizations.slug", Taken::OrganizationSlug),
    ("cf_organizations_external_id_key", "cf_organizations.external_id", Taken::OrganizationExternalId),
    (
        "cf_memberships_external_id_key",
        "cf_memberships.organization_id, cf_memberships.external_id",
        Taken::MembershipExternalId,
    ),
    (
        "cf_memberships_user_id_organization_id_key",
        "cf_memberships.user_id, cf_memberships.organization_id",
        Taken::Membership,
    ),
    ("cf_roles_organization_id_name_key", "cf_roles.organization_id, cf_roles.name", Taken::Role),
    (
        "cf_invitations_organization_id_email_key",
        "cf_invitations.organization_id, cf_invitations.email_normalized",
        Taken::Invitation,
    ),
    (
        "cf_oauth_accounts_provider_key",
        "cf_oauth_accounts.provider, cf_oauth_accounts.provider_user_id",
        Taken::OauthAccount,
    ),
];

/// A write sets this column to NULL if the row has changed since it was read.
const REVISION: &str = "revision";

/// PostgreSQL's message when it terminates a connection.
const ENDED: &str = "terminating connection";

/// SQLite's message when another connection holds the lock.
const BUSY: &str = "database is locked";

/// Messages of transient failures for which diesel has no error kind: cancellation and shutdown on PostgreSQL, lock contention on SQLite.
const PASSING: [&str; 7] = [
    BUSY,
    "canceling statement due to",
    ENDED,
    "the database system is",
    "too many connections",
    "remaining connection slots",
    "disk I/O error",
];

pub(crate) fn to_error(error: DieselError) -> Error {
    match &error {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::UniqueViolation => match taken(info.as_ref()) {
                Some(taken) => Error::Taken(taken),
                None => Error::Internal(Box::new(error)),
            },
            // Every row that a write refers to was read in the same transaction, so a concurrent transaction has deleted it since.
            DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::SerializationFailure => Error::Conflict,
            DatabaseErrorKind::NotNullViolation if is_revision(info.as_ref()) => Error::Conflict,
            DatabaseErrorKind::Unknown if info.message().contains("deadlock detected") => Error::Conflict,
            // A retry would take just as long.
            DatabaseErrorKind::Unknown if info.message().contains("due to statement timeout") => {
                Error::DeadlineExceeded
            }
            DatabaseErrorKind::Unknown if PASSING.iter().any(|text| info.message().contains(text)) => {
                Error::Unavailable(Box::new(error))
            }
            DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::ReadOnlyTransaction => Error::Unavailable(Box::new(error)),
            _ => Error::Internal(Box::new(error)),
        },
        DieselError::BrokenTransactionManager => Error::Unavailable(Box::new(error)),
        _ => Error::Internal(Box::new(error)),
    }
}

/// True if another connection holds the lock that SQLite needs.
pub(super) fn is_busy(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(_, info) if info.message().contains(BUSY))
}

/// True if the error only shows that the connection has been lost.
pub(super) fn is_lost(error: &DieselError) -> bool {
    use DatabaseErrorKind as Kind;
    let DieselError::DatabaseError(kind, info) = error else { return false };
    matches!(kind, Kind::UnableToSendCommand | Kind::ClosedConnection) || info.message().contains(ENDED)
}

/// True if the column that must not be NULL is a revision. SQLite names the column only in the message.
fn is_revision(info: &dyn DatabaseErrorInformation) -> bool {
    match info.column_name() {
        Some(column) => column == REVISION,
        None => info.message().rsplit('.').next() == Some(REVISION),
    }
}

fn taken(info: &dyn DatabaseErrorInformation) -> Option<Taken> {
    let is = |name: &str, columns: &str| match info.constraint_name() {
        Some(constraint) => constraint == name,
        None => info.message().strip_prefix("UNIQUE constraint failed: ") == Some(columns),
    };
    UNIQUE.iter().find(|(name, columns, _)| is(name, columns)).map(|(.., taken)| *taken)
}

/// The pool had no free connection within its timeout.
pub(super) fn pool_error<E: std::error::Error + Send + Sync + 'static>(error: bb8::RunError<E>) -> Error {
    Error::Unavailable(Box::new(error))
}
