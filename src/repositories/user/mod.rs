//! Storage of users.

mod list;

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    MAX_BATCH, compared, left, metadata,
    reach::{first_within, within},
    row,
};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{memberships, oauth_accounts, users},
    },
    error::{Error, Result, Taken},
    models::{
        Action, ExternalId, Impact, JsonObject, Name, NormalizedEmail, OrganizationId, Reach, Revision, Timestamp,
        User, UserId, UserState, WebUrl, email::GivenEmail, search::Searched,
    },
    repositories::Locked,
};

row!(users: UserRow of User {
    id: UserId,
    revision: Revision,
    email: GivenEmail,
    email_normalized: NormalizedEmail,
    name: Name,
    avatar_url: Option<WebUrl>,
    email_verified_at: Option<Timestamp>,
    is_platform_admin: bool,
    state: UserState,
    metadata: JsonObject,
    deleted_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    external_id: Option<ExternalId>,
    last_sign_in_at: Option<Timestamp>,
    private_metadata: JsonObject,
});

/// The part of a user that each of its memberships stores too.
#[derive(PartialEq, Eq)]
pub(super) struct MemberCopy {
    pub(super) email: String,
    pub(super) search: String,
    pub(super) state: &'static str,
}

impl MemberCopy {
    /// The state of a deleted user.
    pub(super) const DELETED: &'static str = "deleted";

    pub(super) fn of(user: &User) -> Self {
        let state = if user.deleted_at.is_some() { Self::DELETED } else { Self::state(user.state) };
        Self { email: user.email_normalized.as_str().to_owned(), search: user.searched(), state }
    }

    /// The state of a user that is not deleted.
    pub(super) fn state(state: UserState) -> &'static str {
        match state {
            UserState::Active => "active",
            UserState::Suspended => "suspended",
        }
    }
}

/// Repository of users.
pub struct UserRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl UserRepository<'_> {
    /// Stores a new user. Takes no reach: the row is new.
    ///
    /// # Errors
    /// [`Taken::UserEmail`], [`Taken::UserExternalId`].
    pub async fn insert(&mut self, user: &User) -> Result<()> {
        execute!(self.conn, diesel::insert_into(users::table).values(UserRow::from(user)))?;
        self.conn.search().note_new(Searched::Users, user.id.0).await?;
        metadata::index(self.conn, user).await?;
        self.conn.created(Action::UserCreated, user);
        Ok(())
    }

    /// The user with this id.
    pub async fn get(&mut self, reach: &Reach, id: UserId) -> Result<Option<User>> {
        let row: Option<UserRow> =
            first_within!(self.conn, users, users::table.filter(users::id.eq(id)).select(UserRow::as_select()), reach)?;
        Ok(row.map(User::from))
    }

    /// The user with this address.
    pub async fn get_by_email(&mut self, reach: &Reach, email: &NormalizedEmail) -> Result<Option<User>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::email_normalized.eq(email));
            let query = query.select(UserRow::as_select()).into_boxed::<Backend>();
            async { within!(users, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(User::from))
    }

    /// The user with this id in another system.
    pub async fn get_by_external_id(&mut self, reach: &Reach, id: &ExternalId) -> Result<Option<User>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::external_id.eq(id));
            let query = query.select(UserRow::as_select()).into_boxed::<Backend>();
            async { within!(users, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(User::from))
    }

    /// The users with these addresses, in any order.
    pub async fn get_many_by_email(&mut self, reach: &Reach, emails: &[NormalizedEmail]) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::email_normalized.eq_any(emails));
            let query = query.select(UserRow::as_select()).into_boxed::<Backend>();
            within!(users, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The users with these ids in another system, in any order.
    pub async fn get_many_by_external_id(&mut self, reach: &Reach, ids: &[ExternalId]) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::external_id.eq_any(ids));
            let query = query.select(UserRow::as_select()).into_boxed::<Backend>();
            within!(users, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The users with these ids, in any order.
    pub async fn get_many(&mut self, reach: &Reach, ids: &[UserId]) -> Result<Vec<User>> {
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select()).into_boxed::<Backend>();
            within!(users, query, reach).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Locks a user.
    pub async fn lock(&mut self, reach: &Reach, id: UserId) -> Result<Option<Locked<User>>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(id)).select(UserRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(users, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks users in order of id, for a transaction that changes several.
    pub async fn lock_in_order(&mut self, reach: &Reach, ids: &[UserId]) -> Result<()> {
        let _: Vec<UserId> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq_any(ids)).select(users::id).into_boxed::<Backend>();
            ForUpdate(within!(users, query, reach).order(users::id)).load(c)
        })?;
        Ok(())
    }

    /// Locks a user that may be deleted.
    pub async fn lock_including_deleted(&mut self, reach: &Reach, id: UserId) -> Result<Option<Locked<User>>> {
        let row: Option<UserRow> = query!(self.conn, c => {
            let query = users::table.filter(users::id.eq(id)).select(UserRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(also deleted users, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks all active platform admins, so that two of them cannot remove each other at the same time, and returns their ids. Takes no
    /// reach: whether one is left does not depend on the caller.
    pub async fn lock_active_platform_admins(&mut self) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            let query = users::table
                .filter(users::is_platform_admin)
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .order(users::id)
                .select(users::id);
            ForUpdate(query).load(c)
        })
    }

    /// Up to `limit` platform admins after a user, in order of id, whatever their state. Takes no reach: the caller shows only members of
    /// an organization that it sees.
    pub async fn platform_admins(&mut self, after: UserId, limit: i64) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            let admins = users::table.filter(users::is_platform_admin).filter(users::id.gt(after));
            admins.order(users::id).select(users::id).limit(limit).load(c)
        })
    }

    /// The active platform admins. Takes no reach: only platform admins suspend.
    pub async fn active_platform_admins(&mut self) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            users::table
                .filter(users::is_platform_admin)
                .filter(users::state.eq(UserState::Active))
                .filter(users::deleted_at.is_null())
                .select(users::id)
                .load(c)
        })
    }

    /// True if no user is stored. Called only at the first start. Takes no reach: it reads no row.
    pub async fn none_exists(&mut self) -> Result<bool> {
        let any: Option<UserId> = query!(self.conn, c => async {
            users::table.select(users::id).limit(1).get_result(c).await.optional()
        })?;
        Ok(any.is_none())
    }

    /// Users that have one of the given external ids. Takes no reach: only platform admins import.
    pub async fn by_external_ids(&mut self, ids: &[ExternalId]) -> Result<Vec<(ExternalId, UserId)>> {
        let found: Vec<(Option<ExternalId>, UserId)> = query!(self.conn, c => {
            users::table
                .filter(users::external_id.eq_any(ids))
                .filter(users::deleted_at.is_null())
                .select((users::external_id, users::id))
                .load(c)
        })?;
        Ok(found.into_iter().filter_map(|(external_id, id)| Some((external_id?, id))).collect())
    }

    /// Those of the given addresses that are taken. Takes no reach: only platform admins import.
    pub async fn taken_emails(&mut self, emails: &[NormalizedEmail]) -> Result<Vec<NormalizedEmail>> {
        query!(self.conn, c => {
            users::table
                .filter(users::email_normalized.eq_any(emails))
                .filter(users::deleted_at.is_null())
                .select(users::email_normalized)
                .load(c)
        })
    }

    /// Updates a locked user. One that is as it was when locked is returned as it is, and nothing is written.
    ///
    /// # Errors
    /// [`Taken::UserEmail`], [`Taken::UserExternalId`]; [`Error::Conflict`] if an account at a provider was linked elsewhere meanwhile.
    pub async fn save(&mut self, user: Locked<User>, action: Action, now: Timestamp) -> Result<User> {
        let (before, user) = match user.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = users::table.filter(users::id.eq(user.id));
        execute!(self.conn, diesel::update(found).set(UserRow::from(&user)))?;
        if before.searched() != user.searched() {
            self.conn.search().changed(Searched::Users, user.id.0).await?;
        }
        let copy = MemberCopy::of(&user);
        if copy != MemberCopy::of(&before) {
            // Copies by which members of an organization are searched and filtered; not a change of the memberships.
            let own = memberships::table.filter(memberships::user_id.eq(user.id));
            let columns = (
                memberships::user_email.eq(copy.email),
                memberships::user_search.eq(copy.search),
                memberships::user_state.eq(copy.state),
            );
            execute!(self.conn, diesel::update(own).set(columns))?;
        }
        metadata::reindex(self.conn, &before, &user).await?;
        if before.deleted_at != user.deleted_at {
            // A copy by which the links of deleted users do not count as taken; not a change of the links.
            let own = oauth_accounts::table.filter(oauth_accounts::user_id.eq(user.id));
            let copy = diesel::update(own).set(oauth_accounts::user_deleted_at.eq(user.deleted_at));
            execute!(
                self.conn,
                copy,
                or | error
                    | match error {
                        Error::Taken(Taken::OauthAccount) => Error::Conflict,
                        error => error,
                    }
            )?;
        }
        self.conn.changed(action, before, &user);
        Ok(user)
    }

    /// A batch of all users within reach, in order of id. Deleted ones are included, except from an organization's reach.
    pub async fn export(&mut self, reach: &Reach, after: Option<UserId>, limit: i64) -> Result<Vec<User>> {
        if let Reach::Organization(organization) = *reach {
            return self.export_members(organization, after, limit).await;
        }
        let rows: Vec<UserRow> = query!(self.conn, c => {
            let mut query = users::table.select(UserRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::User(id) => query.filter(users::id.eq(id)),
                Reach::Organization(_) => query.filter(users::id.ne(users::id)),
            };
            if let Some(after) = after {
                query = query.filter(users::id.gt(after));
            }
            query.order(users::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// A batch of the members of an organization who are not deleted, in order of id.
    async fn export_members(
        &mut self,
        organization: OrganizationId,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<User>> {
        let after = after.unwrap_or(UserId(Uuid::nil()));
        let rows: Vec<UserRow> = query!(self.conn, c => {
            memberships::table
                .inner_join(users::table.on(users::id.eq(memberships::user_id)))
                .filter(memberships::organization_id.eq(organization))
                .filter(memberships::user_id.gt(after))
                .filter(compared(users::deleted_at.is_null()))
                .order(memberships::user_id)
                .select(UserRow::as_select())
                .limit(limit)
                .load(c)
        })?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// Up to `limit` users deleted before `before`. Takes no reach: only the service itself calls it.
    pub async fn deleted_before(&mut self, before: Timestamp, limit: i64) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            users::table.filter(users::deleted_at.lt(before)).order(users::deleted_at).select(users::id).limit(limit).load(c)
        })
    }

    /// Deletes up to `limit` resources that depend on a locked user and returns how many.
    pub async fn delete_dependents(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let conn = &mut *self.conn;
        let mut removed = conn.memberships().delete_of_user(user, limit).await?;
        removed += conn.oauth_accounts().delete_of_user(user, left(limit, removed)).await?;
        removed += conn.sessions().delete_of_user(user, left(limit, removed), now).await?;
        removed += conn.api_keys().delete_of_user(user, left(limit, removed)).await?;
        // Other owners' keys that the user created.
        removed += conn.api_keys().clear_creator(user, left(limit, removed), now).await?;
        conn.passwords().delete_of_user(user).await?;
        conn.one_time_tokens().delete_of_user(user).await?;
        removed += conn.invitations().forget_inviter(user, left(limit, removed), now).await?;
        Ok(removed)
    }

    /// True if a locked user has a password, an unrevoked API key, a live session or an OAuth account.
    pub async fn has_credentials(&mut self, user: &Locked<User>, now: Timestamp) -> Result<bool> {
        Ok(self.conn.passwords().get(user).await?.is_some()
            || self.conn.api_keys().count_of_user(user).await? > 0
            || self.conn.sessions().count_live(user, now).await? > 0
            || self.conn.oauth_accounts().has_any(user).await?)
    }

    /// Counts of what depends on a locked user and stops working along with it.
    pub async fn impact(&mut self, user: &Locked<User>, now: Timestamp) -> Result<Impact> {
        Ok(Impact {
            memberships: self.conn.memberships().count_shown_of_user(user).await?,
            api_keys: self.conn.api_keys().count_of_user(user).await?,
            sessions: self.conn.sessions().count_live(user, now).await?,
            invitations: self.conn.invitations().count_to(user, now).await?,
            organizations_without_owner: Vec::new(),
        })
    }

    /// Erases a locked user and everything that depends on it.
    pub async fn delete(&mut self, user: Locked<User>, now: Timestamp) -> Result<()> {
        while self.delete_dependents(&user, MAX_BATCH, now).await? > 0 {}
        metadata::unindex(self.conn, [&*user]).await?;
        execute!(self.conn, diesel::delete(users::table.filter(users::id.eq(user.id))))?;
        self.conn.removed(Action::UserPurged, user.into_inner());
        Ok(())
    }
}
