//! From the errors of diesel to ours. PostgreSQL names the broken constraint, SQLite the columns; both are known here.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};

use crate::error::{Error, Taken};

/// Unique constraints: their names on PostgreSQL, their columns on SQLite, their meaning.
const UNIQUE: [(&str, &str, Taken); 7] = [
    ("cf_users_email_key", "cf_users.email_normalized", Taken::UserEmail),
    ("cf_users_external_id_key", "cf_users.external_id", Taken::UserExternalId),
    ("cf_organizations_slug_key", "cf_organizations.slug", Taken::OrganizationSlug),
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
        "cf_oauth_accounts_provider_provider_user_id_key",
        "cf_oauth_accounts.provider, cf_oauth_accounts.provider_user_id",
        Taken::OauthAccount,
    ),
];

/// The column that a write makes NULL if the row is not as it was read.
const REVISION: &str = "revision";

/// What PostgreSQL says when it ends a connection.
const ENDED: &str = "terminating connection";

/// What SQLite says when another connection holds the lock.
const BUSY: &str = "database is locked";

/// Messages of failures that have no kind of their own in diesel and pass by themselves: on PostgreSQL the cancelled and
/// the shut-down, on SQLite the busy.
const PASSING: [&str; 7] = [
    BUSY,
    "canceling statement due to",
    ENDED,
    "the database system is",
    "too many connections",
    "remaining connection slots",
    "disk I/O error",
];

/// Turns an error of diesel into one of ours.
pub(crate) fn to_error(error: DieselError) -> Error {
    match &error {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::UniqueViolation => match taken(info.as_ref()) {
                Some(taken) => Error::Taken(taken),
                None => Error::Internal(Box::new(error)),
            },
            // Every row that a write refers to was read in the same transaction: somebody has erased it since.
            DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::SerializationFailure => Error::Conflict,
            DatabaseErrorKind::NotNullViolation if is_revision(info.as_ref()) => Error::Conflict,
            DatabaseErrorKind::Unknown if info.message().contains("deadlock detected") => Error::Conflict,
            // It would take as long again.
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

/// True if the connection has ended, which the statement only happened to find.
pub(super) fn is_lost(error: &DieselError) -> bool {
    use DatabaseErrorKind as Kind;
    let DieselError::DatabaseError(kind, info) = error else { return false };
    matches!(kind, Kind::UnableToSendCommand | Kind::ClosedConnection) || info.message().contains(ENDED)
}

/// True if the column that must not be NULL is that of a revision. SQLite tells it in the message alone.
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

/// A pool that gives no connection in time.
pub(super) fn pool_error<E: std::error::Error + Send + Sync + 'static>(error: bb8::RunError<E>) -> Error {
    Error::Unavailable(Box::new(error))
}
