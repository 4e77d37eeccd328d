//! How passwords are stored, and how often wrong ones came.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{row, user::UserRow};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{passwords, sessions, sign_in_failures, users},
    },
    error::{Error, Result},
    models::{
        AccountId, Action, Change, Failures, Locked, NormalizedEmail, Password, PasswordHash, Source, State, Timestamp,
        User, UserId, session::IpText,
    },
};

/// How often what is counted is looked for that others remove meanwhile.
const LOOKS: usize = 5;

row!(passwords: PasswordRow of Password {
    user_id: UserId,
    hash: PasswordHash,
    is_imported: bool,
    changed_at: Timestamp,
});

/// Stores passwords. They belong to users that were found before, or that nobody is told of until the password is proven; that is
/// their reach.
pub struct PasswordRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl PasswordRepository<'_> {
    /// The user of an address, and its password. Where nobody has the address the same is read of a stand-in and not answered, so that
    /// it takes as long. It takes no reach: who asks knows neither.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get_by_email(
        &mut self,
        email: &NormalizedEmail,
        stand_in: Option<UserId>,
    ) -> Result<Option<(User, Option<Password>)>> {
        let found: Option<UserId> = query!(self.conn, c => async {
            users::table
                .filter(users::email_normalized.eq(email))
                .filter(users::deleted_at.is_null())
                .select(users::id)
                .get_result(c)
                .await
                .optional()
        })?;
        let Some(id) = found.or(stand_in) else { return Ok(None) };
        let read: Option<(UserRow, Option<PasswordRow>)> = query!(self.conn, c => async {
            users::table
                .left_join(passwords::table.on(passwords::user_id.eq(users::id)))
                .filter(users::id.eq(id))
                .filter(users::deleted_at.is_null())
                .select((UserRow::as_select(), Option::<PasswordRow>::as_select()))
                .get_result(c)
                .await
                .optional()
        })?;
        let read = read.map(|(user, password)| (user.into(), password.map(Password::from)));
        Ok(found.and(read))
    }

    /// Some users with a password, to stand in for those who are none. It takes no reach: nobody is told of them.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn stand_ins(&mut self, limit: i64) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            passwords::table.order(passwords::user_id).select(passwords::user_id).limit(limit).load(c)
        })
    }

    /// The password of a user that was found.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&mut self, user: &User) -> Result<Option<Password>> {
        let row: Option<PasswordRow> = query!(self.conn, c => async {
            passwords::table.find(user.id).select(PasswordRow::as_select()).get_result(c).await.optional()
        })?;
        Ok(row.map(Password::from))
    }

    /// True if a user has signed in from an address, with its password, in a session that is still going on. A session that
    /// CreateRefreshToken began says nothing of the password. It takes no reach, and any account.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn is_familiar(&mut self, account: AccountId, address: &IpText, now: Timestamp) -> Result<bool> {
        query!(self.conn, c => {
            let sessions = sessions::table
                .filter(sessions::user_id.eq(UserId(account.0)))
                .filter(sessions::revoked_at.is_null())
                .filter(sessions::by_password)
                .filter(sessions::expires_at.gt(now))
                .filter(sessions::ip_address.eq(address));
            diesel::select(exists(sessions)).get_result(c)
        })
    }

    /// Counts a try before its password is looked at, so that of many at once none is forgotten. False if it comes too early: then it is
    /// not to be looked at. What is counted `beside` it is only read: of a decoy for a user and of a user for a decoy, so that the one
    /// that is seldom read is read in either case. It takes no reach, and any account.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn count_try(
        &mut self,
        account: AccountId,
        beside: AccountId,
        source: &Source,
        now: Timestamp,
    ) -> Result<bool> {
        let _: Option<i64> = query!(self.conn, c => async {
            let row = sign_in_failures::table.find((beside, Source::default()));
            row.select(sign_in_failures::failures).get_result(c).await.optional()
        })?;
        let before = self.lock_failures(account, &Source::default(), now).await?;
        let (before, counted) = if source.is_familiar() {
            // All sources of an account are counted under the lock of the first one, or several at once would exceed the sum.
            let before = self.lock_failures(account, source, now).await?;
            let all = self.familiar_failures(account).await?;
            (before, before.and_one_familiar(source, &all, now))
        } else {
            (before, before.and_one(source, now))
        };
        // Written in any case: it takes as long.
        let after = counted.unwrap_or(before);
        let found = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(account))
            .filter(sign_in_failures::source.eq(source.clone()));
        execute!(
            self.conn,
            diesel::update(found)
                .set((sign_in_failures::failures.eq(after.count), sign_in_failures::last_failed_at.eq(after.last)))
        )?;
        Ok(counted.is_some())
    }

    /// Locks what is counted for an account and a source. Of an address from which the user has a session it begins with nothing.
    async fn lock_failures(&mut self, account: AccountId, source: &Source, now: Timestamp) -> Result<Failures> {
        for _ in 0..LOOKS {
            let found: Option<(i64, Timestamp)> = query!(self.conn, c => async {
                let row = sign_in_failures::table.find((account, source));
                let row = row.select((sign_in_failures::failures, sign_in_failures::last_failed_at));
                ForUpdate(row).get_result(c).await.optional()
            })?;
            if let Some((count, last)) = found {
                return Ok(Failures { count, last });
            }
            self.begin_to_count(account, source, now).await?;
        }
        // Whoever has proven the password there meanwhile has removed it again and again.
        Err(Error::Conflict)
    }

    /// What is counted for each familiar address of an account.
    async fn familiar_failures(&mut self, account: AccountId) -> Result<Vec<Failures>> {
        let found: Vec<(i64, Timestamp)> = query!(self.conn, c => {
            sign_in_failures::table
                .filter(sign_in_failures::account_id.eq(account))
                .filter(sign_in_failures::source.ne(Source::default()))
                .select((sign_in_failures::failures, sign_in_failures::last_failed_at))
                .load(c)
        })?;
        Ok(found.into_iter().map(|(count, last)| Failures { count, last }).collect())
    }

    /// Makes the row that counts for an account and a source, unless it is there.
    async fn begin_to_count(&mut self, account: AccountId, source: &Source, now: Timestamp) -> Result<()> {
        execute!(
            self.conn,
            diesel::insert_into(sign_in_failures::table)
                .values((
                    sign_in_failures::account_id.eq(account),
                    sign_in_failures::source.eq(source.clone()),
                    sign_in_failures::failures.eq(0),
                    sign_in_failures::last_failed_at.eq(now),
                ))
                .on_conflict_do_nothing()
        )
    }

    /// Forgets wrong passwords: those from a source, and those from familiar addresses that need not be remembered any more. The
    /// latter would count for ever where the user has no session any more.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn forget_failures(&mut self, user: &User, source: &Source, now: Timestamp) -> Result<()> {
        // First the row that a count locks first.
        if !source.is_familiar() {
            self.forget_unknown(user).await?;
        }
        let is_over = sign_in_failures::last_failed_at.le(now.before(Source::REMEMBERED));
        let forgotten = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(AccountId::from(user.id)))
            .filter(sign_in_failures::source.ne(Source::default()))
            .filter(sign_in_failures::source.eq(source.clone()).or(is_over));
        execute!(self.conn, diesel::delete(forgotten))
    }

    /// Forgets wrong passwords from unknown addresses. The row stays, so that what is counted next takes as long as for nobody.
    async fn forget_unknown(&mut self, user: &User) -> Result<()> {
        let unknown = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(AccountId::from(user.id)))
            .filter(sign_in_failures::source.eq(Source::default()));
        execute!(self.conn, diesel::update(unknown).set(sign_in_failures::failures.eq(0)))
    }

    /// Forgets all wrong passwords of a user.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn forget_all_failures(&mut self, user: &User) -> Result<()> {
        self.forget_unknown(user).await?;
        let familiar = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(AccountId::from(user.id)))
            .filter(sign_in_failures::source.ne(Source::default()));
        execute!(self.conn, diesel::delete(familiar))
    }

    /// Gives a locked user its first password. False if it has one.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn insert(&mut self, user: &User, password: &Password, action: Action) -> Result<bool> {
        let inserted = query!(self.conn, c => {
            diesel::insert_into(passwords::table).values(PasswordRow::from(password)).on_conflict_do_nothing().execute(c)
        })?;
        if inserted > 0 {
            self.begin_to_count(user.id.into(), &Source::default(), password.changed_at).await?;
            self.happened(user, action);
        }
        Ok(inserted > 0)
    }

    /// Gives a locked user a password, in place of one that it may have.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn replace(&mut self, user: &User, password: &Password, action: Action) -> Result<()> {
        execute!(
            self.conn,
            diesel::insert_into(passwords::table)
                .values(PasswordRow::from(password))
                .on_conflict(passwords::user_id)
                .do_update()
                .set(PasswordRow::from(password))
        )?;
        self.begin_to_count(user.id.into(), &Source::default(), password.changed_at).await?;
        self.happened(user, action);
        Ok(())
    }

    /// Writes another hash of the same password, if it is still the one that was looked at. It leaves no event: nothing that any call
    /// answers changes by it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn rehash(&mut self, before: &Password, hash: &PasswordHash) -> Result<()> {
        let same = passwords::table
            .filter(passwords::user_id.eq(before.user_id))
            .filter(passwords::hash.eq(before.hash.clone()));
        execute!(
            self.conn,
            diesel::update(same).set((passwords::hash.eq(hash.clone()), passwords::is_imported.eq(false)))
        )
    }

    /// Notes something that happened to a user and changed nothing that is shown of it.
    pub fn happened(&mut self, user: &User, action: Action) {
        self.conn.record(Change::nothing(action, State::from(user.clone()).subject()));
    }

    /// Notes when a user signed in. The user's revision stays: nobody decides anything by it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn signed_in(&mut self, user: &User, now: Timestamp) -> Result<()> {
        let found = users::table.filter(users::id.eq(user.id));
        execute!(self.conn, diesel::update(found).set(users::last_sign_in_at.eq(Some(now))))?;
        self.happened(user, Action::UserSignedIn);
        Ok(())
    }

    /// Removes the password of a locked user. False if it has none.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn remove(&mut self, user: &User) -> Result<bool> {
        let removed = query!(self.conn, c => {
            diesel::delete(passwords::table.filter(passwords::user_id.eq(user.id))).execute(c)
        })?;
        if removed > 0 {
            self.happened(user, Action::UserPasswordRemoved);
        }
        Ok(removed > 0)
    }

    /// Removes the password of a locked user who is to be erased, and what was counted.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn delete_of_user(&mut self, user: &Locked<User>) -> Result<()> {
        execute!(self.conn, diesel::delete(passwords::table.filter(passwords::user_id.eq(user.id))))?;
        let of_user = sign_in_failures::table.filter(sign_in_failures::account_id.eq(AccountId::from(user.id)));
        execute!(self.conn, diesel::delete(of_user))
    }
}
