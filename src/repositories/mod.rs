//! How things are stored: diesel in, models out. One file per entity, each with its row, its repository and its queries.
//!
//! Every query on tenant data takes a [`Reach`](crate::models::Reach) and puts it into its WHERE, with `within!`. What is
//! saved or removed was locked before, under a reach. A lookup answers `None` for what is not there; whether that is an
//! error the caller decides. Repositories never begin a transaction.

mod api_key;
mod membership;
mod oauth_account;
mod organization;
mod reach;
mod refresh_token;
mod sealing_key;
mod user;

pub use self::{
    api_key::ApiKeyRepository, membership::MembershipRepository, oauth_account::OAuthAccountRepository,
    organization::OrganizationRepository, refresh_token::RefreshTokenRepository, sealing_key::SealingKeyRepository,
    user::UserRepository,
};
use crate::db::Conn;

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

    /// OAuth accounts.
    pub fn oauth_accounts(&mut self) -> OAuthAccountRepository<'_> {
        OAuthAccountRepository { conn: self }
    }

    /// Refresh tokens.
    pub fn refresh_tokens(&mut self) -> RefreshTokenRepository<'_> {
        RefreshTokenRepository { conn: self }
    }

    /// API keys.
    pub fn api_keys(&mut self) -> ApiKeyRepository<'_> {
        ApiKeyRepository { conn: self }
    }

    /// The sealing keys that the database was written with.
    pub fn sealing_keys(&mut self) -> SealingKeyRepository<'_> {
        SealingKeyRepository { conn: self }
    }
}

/// The row of a model: the same fields, with diesel's derives, private to the entity's file.
macro_rules! row {
    ($table:ident: $row:ident of $model:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(
            diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset
        )]
        #[diesel(table_name = $table, treat_none_as_null = true)]
        #[diesel(check_for_backend(diesel::sqlite::Sqlite, diesel::pg::Pg))]
        struct $row {
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

use row;
