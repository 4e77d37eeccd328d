//! Storage of OAuth accounts.

use diesel::{alias, dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{Span, compared, delete_up_to, in_period, reach::within, row, spanned};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{oauth_accounts, users},
    },
    error::Result,
    models::{
        Action, Cursor, OauthAccount, OauthAccountFilter, OauthAccountId, Page, PageRequest, ProviderAccount, Reach,
        Revision, Sealed, Timestamp, User, UserId,
        email::GivenEmail,
        oauth_account::{Provider, ProviderScopes, ProviderUserId},
    },
    repositories::Locked,
};

row!(oauth_accounts: OauthAccountRow of OauthAccount {
    id: OauthAccountId,
    revision: Revision,
    user_id: UserId,
    provider: Provider,
    provider_user_id: ProviderUserId,
    email: Option<GivenEmail>,
    scopes: ProviderScopes,
    access_token: Option<Sealed>,
    refresh_token: Option<Sealed>,
    token_expires_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
});

// Links of other users.
alias! {
    const LINKED: Alias<Linked> = oauth_accounts as linked;
}

/// Repository of OAuth accounts.
pub struct OauthAccountRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl OauthAccountRepository<'_> {
    /// Stores a new OAuth account. Takes no reach: the row is new.
    ///
    /// # Errors
    /// [`Taken::OauthAccount`](crate::error::Taken::OauthAccount).
    pub async fn insert(&mut self, account: &OauthAccount) -> Result<()> {
        execute!(self.conn, diesel::insert_into(oauth_accounts::table).values(OauthAccountRow::from(account)))?;
        self.conn.created(Action::OauthAccountLinked, account);
        Ok(())
    }

    /// The OAuth account with this id.
    pub async fn get(&mut self, reach: &Reach, id: OauthAccountId) -> Result<Option<OauthAccount>> {
        let row: Option<OauthAccountRow> = query!(self.conn, c => {
            let query = oauth_accounts::table.filter(oauth_accounts::id.eq(id));
            let query = query.select(OauthAccountRow::as_select()).into_boxed::<Backend>();
            async { within!(oauth_accounts, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(OauthAccount::from))
    }

    /// The OAuth account with this provider and provider user id.
    pub async fn get_by_provider(&mut self, reach: &Reach, account: &ProviderAccount) -> Result<Option<OauthAccount>> {
        let row: Option<OauthAccountRow> = query!(self.conn, c => {
            let query = oauth_accounts::table
                .filter(oauth_accounts::provider.eq(&account.provider))
                .filter(oauth_accounts::provider_user_id.eq(&account.provider_user_id))
                // A deleted user may have had the same account.
                .filter(oauth_accounts::user_deleted_at.is_null());
            let query = query.select(OauthAccountRow::as_select()).into_boxed::<Backend>();
            async { within!(oauth_accounts, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(OauthAccount::from))
    }

    /// Number of OAuth accounts of a locked user.
    pub async fn count_of_user(&mut self, user: &Locked<User>) -> Result<i64> {
        query!(self.conn, c => {
            oauth_accounts::table.filter(oauth_accounts::user_id.eq(user.id)).count().get_result(c)
        })
    }

    /// A page of OAuth accounts, in order of id.
    pub async fn list(
        &mut self,
        reach: &Reach,
        filter: &OauthAccountFilter,
        page: &PageRequest,
    ) -> Result<Page<OauthAccount>> {
        let rows: Vec<OauthAccountRow> = query!(self.conn, c => {
            let query = oauth_accounts::table.filter(oauth_accounts::user_id.eq(filter.user_id));
            let mut query = query.select(OauthAccountRow::as_select()).into_boxed::<Backend>();
            if let Some(provider) = &filter.provider {
                query = query.filter(oauth_accounts::provider.eq(provider));
            }
            let query = in_period!(query, oauth_accounts::created_at, page.created);
            let query = spanned!(query, oauth_accounts::id, OauthAccountId, Span::of(page), page.order);
            within!(oauth_accounts, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// Locks an OAuth account.
    pub async fn lock(&mut self, reach: &Reach, id: OauthAccountId) -> Result<Option<Locked<OauthAccount>>> {
        let row: Option<OauthAccountRow> = query!(self.conn, c => {
            let query = oauth_accounts::table.filter(oauth_accounts::id.eq(id));
            let query = query.select(OauthAccountRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(oauth_accounts, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Updates a locked OAuth account. One that is as it was when locked is returned as it is, and nothing is written.
    pub async fn save(
        &mut self,
        account: Locked<OauthAccount>,
        action: Action,
        now: Timestamp,
    ) -> Result<OauthAccount> {
        let (before, account) = match account.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = oauth_accounts::table.filter(oauth_accounts::id.eq(account.id));
        execute!(self.conn, diesel::update(found).set(OauthAccountRow::from(&account)))?;
        self.conn.changed(action, before, &account);
        Ok(account)
    }

    /// A batch of all OAuth accounts within reach, in order of id, whatever the state of their users.
    pub async fn export(
        &mut self,
        reach: &Reach,
        after: Option<OauthAccountId>,
        limit: i64,
    ) -> Result<Vec<OauthAccount>> {
        let rows: Vec<OauthAccountRow> = query!(self.conn, c => {
            let mut query = oauth_accounts::table.select(OauthAccountRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::User(id) => query.filter(oauth_accounts::user_id.eq(id)),
                // Members' own resources are not within an organization's reach.
                Reach::Organization(_) => query.filter(oauth_accounts::id.ne(oauth_accounts::id)),
            };
            if let Some(after) = after {
                query = query.filter(oauth_accounts::id.gt(after));
            }
            query.order(oauth_accounts::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(OauthAccount::from).collect())
    }

    /// True if a locked user has an OAuth account.
    pub async fn has_any(&mut self, user: &Locked<User>) -> Result<bool> {
        query!(self.conn, c => {
            diesel::select(exists(oauth_accounts::table.filter(oauth_accounts::user_id.eq(user.id)))).get_result(c)
        })
    }

    /// Deletes up to `limit` OAuth accounts of a locked user and returns how many.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64) -> Result<usize> {
        let matches = oauth_accounts::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, oauth_accounts: OauthAccountRow of OauthAccountId, matches);
        self.conn.removed_all::<OauthAccount, _>(Action::OauthAccountUnlinked, rows);
        Ok(found)
    }

    /// Deletes the accounts of a locked deleted user that were linked to other users since its deletion, and returns them.
    pub async fn delete_taken(&mut self, user: &Locked<User>) -> Result<Vec<OauthAccount>> {
        let ids: Vec<OauthAccountId> = query!(self.conn, c => {
            let (provider, provider_user_id) = (oauth_accounts::provider, oauth_accounts::provider_user_id);
            let elsewhere = LINKED
                .filter(LINKED.field(provider).eq(provider))
                .filter(LINKED.field(provider_user_id).eq(provider_user_id))
                .filter(LINKED.field(oauth_accounts::user_deleted_at).is_null());
            oauth_accounts::table
                .filter(oauth_accounts::user_id.eq(user.id))
                .filter(compared(elsewhere.select(LINKED.field(oauth_accounts::id)).single_value().is_not_null()))
                .order(oauth_accounts::id)
                .select(oauth_accounts::id)
                .load(c)
        })?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<OauthAccountRow> = query!(self.conn, c => {
            diesel::delete(oauth_accounts::table.filter(oauth_accounts::id.eq_any(&ids)))
                .returning(OauthAccountRow::as_returning())
                .get_results(c)
        })?;
        let taken: Vec<OauthAccount> = rows.into_iter().map(OauthAccount::from).collect();
        for account in &taken {
            self.conn.removed(Action::OauthAccountUnlinked, account.clone());
        }
        Ok(taken)
    }

    /// Deletes a locked OAuth account.
    pub async fn delete(&mut self, account: Locked<OauthAccount>) -> Result<()> {
        execute!(self.conn, diesel::delete(oauth_accounts::table.filter(oauth_accounts::id.eq(account.id))))?;
        self.conn.removed(Action::OauthAccountUnlinked, account.into_inner());
        Ok(())
    }
}
