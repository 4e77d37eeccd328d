//! Storage: models in and out, diesel inside. One file per entity, with its row, its repository and its queries.
//!
//! Every query on tenant data takes a [`Reach`](crate::models::Reach) and adds it to its WHERE, with `within!`. Resources are locked under
//! a reach before they are saved or deleted. Every change of a resource is recorded on the connection. A lookup returns `None` for a
//! missing row; the caller decides whether that is an error. Repositories never begin a transaction.
//!
//! Every method fails with [`Error::Unavailable`](crate::error::Error::Unavailable) if the database cannot be reached.

mod api_key;
mod erasure;
mod event;
mod invitation;
mod locked;
mod membership;
mod metadata;
mod oauth_account;
mod one_time_token;
mod organization;
mod password;
mod reach;
mod remembered_answer;
mod role;
mod sealing_key;
mod search;
mod session;
mod signing_key;
mod span;
mod user;

use std::{collections::HashMap, hash::Hash};

pub use self::{
    api_key::ApiKeyRepository,
    erasure::ErasureRepository,
    event::EventRepository,
    invitation::{InvitationRepository, SentInvitations},
    membership::{Member, MembershipRepository},
    oauth_account::OauthAccountRepository,
    one_time_token::OneTimeTokenRepository,
    organization::OrganizationRepository,
    password::PasswordRepository,
    remembered_answer::{ClaimedRequest, RememberedAnswerRepository},
    role::RoleRepository,
    sealing_key::SealingKeyRepository,
    search::SearchRepository,
    session::{PresentedSession, SessionRepository},
    signing_key::SigningKeyRepository,
    user::UserRepository,
};
use crate::{
    db::Conn,
    models::{Action, Change, State},
};
pub use locked::Locked;
use span::Span;

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

    /// The index of search.
    pub fn search(&mut self) -> SearchRepository<'_> {
        SearchRepository { conn: self }
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

    /// One-time tokens.
    pub fn one_time_tokens(&mut self) -> OneTimeTokenRepository<'_> {
        OneTimeTokenRepository { conn: self }
    }

    /// Signing keys of access tokens.
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

    /// Erasures that are not complete.
    pub fn erasures(&mut self) -> ErasureRepository<'_> {
        ErasureRepository { conn: self }
    }

    /// Remembered answers.
    pub fn remembered_answers(&mut self) -> RememberedAnswerRepository<'_> {
        RememberedAnswerRepository { conn: self }
    }

    /// Sealing keys that the database was written with.
    pub fn sealing_keys(&mut self) -> SealingKeyRepository<'_> {
        SealingKeyRepository { conn: self }
    }

    /// Records the creation of a resource.
    fn created<T: Into<State> + Clone>(&mut self, action: Action, after: &T) {
        self.record(Change::new(action, None, Some(after.clone().into())));
    }

    /// Records a change of a resource.
    fn changed<T: Into<State> + Clone>(&mut self, action: Action, before: T, after: &T) {
        self.record(Change::new(action, Some(before.into()), Some(after.clone().into())));
    }

    /// Records the deletion of a resource.
    fn removed<T: Into<State>>(&mut self, action: Action, before: T) {
        self.record(Change::new(action, Some(before.into()), None));
    }

    /// Records the deletion of several resources.
    fn removed_all<T: Into<State> + From<R>, R>(&mut self, action: Action, rows: Vec<R>) {
        for row in rows {
            self.removed(action, T::from(row));
        }
    }
}

/// Declares the row of a model: the same fields, with diesel's derives, private to the entity's file.
macro_rules! row {
    ($table:ident: $row:ident of $model:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(
            diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset
        )]
        // NULLs are written explicitly, so that each statement has one text.
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

/// Deletes up to `limit` matching rows, at most [`MAX_BATCH`], and returns how many were found and the deleted rows.
macro_rules! delete_up_to {
    ($limit:expr, $conn:expr, $table:ident: $row:ident of $id:ident, $matches:expr) => {{
        let limit = i64::min($limit, $crate::repositories::MAX_BATCH);
        let ids: Vec<$id> =
            query!($conn, c => $table::table.filter($matches).select($table::id).limit(limit).load(c))?;
        let mut rows: Vec<$row> = Vec::new();
        if !ids.is_empty() {
            rows = query!($conn, c => {
                // A concurrent transaction may have changed a row so that it no longer matches.
                let found = $table::table.filter($table::id.eq_any(&ids)).filter($matches);
                diesel::delete(found).returning($row::as_returning()).get_results(c)
            })?;
        }
        (ids.len(), rows)
    }};
}

/// Clears a user who is being erased from one column of up to `limit` rows, records the changes, and returns how many.
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

/// Restricts a list in order of id to a span, and orders it. An end that restricts nothing is left out: without statistics, PostgreSQL
/// takes a range with two ends for a small one, and sorts it instead of reading it in order.
macro_rules! spanned {
    ($query:expr, $id:expr, $Id:ident, $span:expr, $order:expr) => {{
        let (mut query, span) = ($query, $span);
        if !span.after.is_nil() {
            query = query.filter($id.gt($Id(span.after)));
        }
        if !span.up_to.is_max() {
            query = query.filter($id.le($Id(span.up_to)));
        }
        match $order {
            $crate::models::Order::OldestFirst => query.order($id),
            $crate::models::Order::NewestFirst => query.order($id.desc()),
        }
    }};
}

/// Compares the creation times of rows with a period. A span of ids has found them, to the millisecond.
macro_rules! in_period {
    ($query:expr, $time:expr, $period:expr) => {{
        let mut query = $query;
        if let Some(from) = $period.from {
            query = query.filter($crate::repositories::compared($time.ge(from)));
        }
        if let Some(before) = $period.before {
            query = query.filter($crate::repositories::compared($time.lt(before)));
        }
        query
    }};
}

/// Rows whose text begins with a prefix, after one position and up to another, ordered by a text column and an id. There is one bound at
/// each end: given two, SQLite seeks to the first and scans to the other.
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

/// Rows that were found by their ids, in the order of the ids.
fn in_order_of<I: Eq + Hash, R>(ids: &[I], rows: impl IntoIterator<Item = R>, id: impl Fn(&R) -> I) -> Vec<R> {
    let mut rows: HashMap<I, R> = rows.into_iter().map(|row| (id(&row), row)).collect();
    ids.iter().filter_map(|id| rows.remove(id)).collect()
}

// A condition compared row by row and never used to search an index, on either database: `condition IS TRUE`. A list is driven by one
// index, chosen by its order or its tenant. Without this, a planner may prefer the index of another filter and scan the rows of all
// tenants.
diesel::postfix_operator!(IsTrue, " IS TRUE");

/// Compares rows with a condition without searching an index by it.
fn compared<E>(condition: E) -> IsTrue<E> {
    IsTrue::new(condition)
}

/// Number of rows that may still be deleted within `limit`.
fn left(limit: i64, removed: usize) -> i64 {
    limit.saturating_sub(i64::try_from(removed).unwrap_or(i64::MAX))
}

/// Maximum rows per statement: SQLite binds at most 32,766 values.
const MAX_BATCH: i64 = 10_000;

use {between, delete_up_to, forget_user, in_period, row, spanned};
