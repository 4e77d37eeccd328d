//! How things are stored: diesel in, models out. One file per entity, each with its row, its repository and its queries.
//!
//! Every query on tenant data takes a [`Reach`](crate::models::Reach) and puts it into its WHERE, with `within!`. What is
//! saved or removed was locked before, under a reach. Whatever changes a resource notes the change on the connection. A lookup answers `None` for what is not there; whether that is an
//! error the caller decides. Repositories never begin a transaction.

mod api_key;
mod event;
mod invitation;
mod membership;
mod oauth_account;
mod one_time_token;
mod organization;
mod password;
mod reach;
mod remembered_answer;
mod role;
mod sealing_key;
mod session;
mod signing_key;
mod user;

pub use self::{
    api_key::ApiKeyRepository,
    event::EventRepository,
    invitation::InvitationRepository,
    membership::MembershipRepository,
    oauth_account::OauthAccountRepository,
    one_time_token::OneTimeTokenRepository,
    organization::OrganizationRepository,
    password::PasswordRepository,
    remembered_answer::{ClaimedRequest, RememberedAnswerRepository},
    role::RoleRepository,
    sealing_key::SealingKeyRepository,
    session::{Presented, SessionRepository},
    signing_key::SigningKeyRepository,
    user::UserRepository,
};
use crate::{
    db::Conn,
    models::{Action, Change, State},
};

impl Conn {
    /// Users.
    pub fn users(&mut self) -> UserRepository<'_> {
        UserRepository { conn: self }
    }

    /// Organizations.
    pub fn organizations(&mut self) -> OrganizationRepository<'_> {
        OrganizationRepository { conn: self }
    }

    /// Memberships.
    pub fn memberships(&mut self) -> MembershipRepository<'_> {
        MembershipRepository { conn: self }
    }

    /// Roles.
    pub fn roles(&mut self) -> RoleRepository<'_> {
        RoleRepository { conn: self }
    }

    /// Invitations.
    pub fn invitations(&mut self) -> InvitationRepository<'_> {
        InvitationRepository { conn: self }
    }

    /// OAuth accounts.
    pub fn oauth_accounts(&mut self) -> OauthAccountRepository<'_> {
        OauthAccountRepository { conn: self }
    }

    /// Sessions.
    pub fn sessions(&mut self) -> SessionRepository<'_> {
        SessionRepository { conn: self }
    }

    /// Passwords.
    pub fn passwords(&mut self) -> PasswordRepository<'_> {
        PasswordRepository { conn: self }
    }

    /// Tokens that work once.
    pub fn one_time_tokens(&mut self) -> OneTimeTokenRepository<'_> {
        OneTimeTokenRepository { conn: self }
    }

    /// The keys that access tokens are signed with.
    pub fn signing_keys(&mut self) -> SigningKeyRepository<'_> {
        SigningKeyRepository { conn: self }
    }

    /// API keys.
    pub fn api_keys(&mut self) -> ApiKeyRepository<'_> {
        ApiKeyRepository { conn: self }
    }

    /// Events.
    pub fn events(&mut self) -> EventRepository<'_> {
        EventRepository { conn: self }
    }

    /// Remembered answers.
    pub fn remembered_answers(&mut self) -> RememberedAnswerRepository<'_> {
        RememberedAnswerRepository { conn: self }
    }

    /// The sealing keys that the database was written with.
    pub fn sealing_keys(&mut self) -> SealingKeyRepository<'_> {
        SealingKeyRepository { conn: self }
    }

    /// Notes that a resource was made.
    fn made<T: Into<State> + Clone>(&mut self, action: Action, after: &T) {
        self.record(Change::new(action, None, Some(after.clone().into())));
    }

    /// Notes that a resource was changed.
    fn changed<T: Into<State> + Clone>(&mut self, action: Action, before: T, after: &T) {
        self.record(Change::new(action, Some(before.into()), Some(after.clone().into())));
    }

    /// Notes that a resource is no more.
    fn removed<T: Into<State>>(&mut self, action: Action, before: T) {
        self.record(Change::new(action, Some(before.into()), None));
    }

    /// Notes that resources are no more.
    fn removed_all<T: Into<State> + From<R>, R>(&mut self, action: Action, rows: Vec<R>) {
        for row in rows {
            self.removed(action, T::from(row));
        }
    }
}

/// The row of a model: the same fields, with diesel's derives, private to the entity's file.
macro_rules! row {
    ($table:ident: $row:ident of $model:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(
            diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset
        )]
        // One text of each statement, whatever is null.
        #[diesel(table_name = $table, treat_none_as_null = true, treat_none_as_default_value = false)]
        #[diesel(check_for_backend(diesel::sqlite::Sqlite, diesel::pg::Pg))]
        pub(super) struct $row {
            $($field: $type),+
        }

        impl From<$row> for $model {
            fn from(row: $row) -> Self {
                Self { $($field: row.$field),+ }
            }
        }

        impl From<&$model> for $row {
            fn from(model: &$model) -> Self {
                Self { $($field: model.$field.clone()),+ }
            }
        }
    };
}

/// Deletes up to a number of rows of a table that match, and tells how many were found and the rows that were deleted. The number
/// is at most [`MAX_BATCH`].
macro_rules! delete_up_to {
    ($limit:expr, $conn:expr, $table:ident: $row:ident of $id:ident, $matches:expr) => {{
        let limit = i64::min($limit, $crate::repositories::MAX_BATCH);
        let ids: Vec<$id> =
            query!($conn, c => $table::table.filter($matches).select($table::id).limit(limit).load(c))?;
        let mut rows: Vec<$row> = Vec::new();
        if !ids.is_empty() {
            rows = query!($conn, c => {
                // Somebody may have changed one meanwhile so that it no longer matches.
                let found = $table::table.filter($table::id.eq_any(&ids)).filter($matches);
                diesel::delete(found).returning($row::as_returning()).get_results(c)
            })?;
        }
        (ids.len(), rows)
    }};
}

/// Forgets of up to a number of resources of a table the user in one of their columns, who is to be erased, and tells how many.
macro_rules! forget_user {
    ($limit:expr, $conn:expr, $table:ident: $row:ident of $model:ident, $id:ident, $column:ident, $action:expr, $user:expr, $now:expr) => {{
        let limit = i64::min($limit, $crate::repositories::MAX_BATCH);
        let ids: Vec<$id> = query!($conn, c => {
            $table::table.filter($table::$column.eq($user.id)).select($table::id).limit(limit).load(c)
        })?;
        let mut rows: Vec<$row> = Vec::new();
        if !ids.is_empty() {
            rows = query!($conn, c => {
                diesel::update($table::table.filter($table::id.eq_any(&ids)))
                    .set((
                        $table::$column.eq(None::<UserId>),
                        $table::updated_at.eq($now),
                        $table::revision.eq($table::revision + 1),
                    ))
                    .returning($row::as_returning())
                    .get_results(c)
            })?;
        }
        for after in rows.into_iter().map($model::from) {
            let before = $model { $column: Some($user.id), ..after.clone() };
            $conn.changed($action, before, &after);
        }
        ids.len()
    }};
}

/// What begins with a prefix, after a place and up to another, in order of two columns, the first of them a text. There is one bound
/// at each end: of two, SQLite searches by the first and walks to the other.
macro_rules! between {
    ($query:expr, $prefix:expr, $after:expr, $up_to:expr, $text:expr, $id:expr) => {{
        let query = $query
            .filter($text.ge(String::clone(&$after.0)))
            .filter($crate::repositories::compared($text.gt(String::clone(&$after.0)).or($id.gt($after.1))));
        match $up_to {
            Some((text, id)) => query
                .filter($text.le(String::clone(text)))
                .filter($crate::repositories::compared($text.lt(String::clone(text)).or($id.le(*id)))),
            None => query.filter($text.lt(prefix_end($prefix))),
        }
    }};
}

// A condition that rows are compared with and no index is searched by, on either database: `condition IS TRUE`. A list is driven
// by one index, which its order or its tenant decides. Without this, a planner may prefer the index of another filter and walk
// what belongs to everybody.
diesel::postfix_operator!(IsTrue, " IS TRUE");

/// Compares rows with a condition without searching an index by it.
fn compared<E>(condition: E) -> IsTrue<E> {
    IsTrue::new(condition)
}

/// How many more may be removed of `limit`.
fn left(limit: i64, removed: usize) -> i64 {
    limit.saturating_sub(i64::try_from(removed).unwrap_or(i64::MAX))
}

/// Most rows of one statement: SQLite binds at most 32,766 values.
const MAX_BATCH: i64 = 10_000;

use {between, delete_up_to, forget_user, row};
