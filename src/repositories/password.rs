//! Storage of passwords, and counts of failed sign-in attempts.
//!
//! No function here takes a reach: each works on a user that was looked up or locked before, or on an address that is being tried.

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
        AccountId, Action, Change, Failures, NormalizedEmail, Password, PasswordHash, Source, State, Timestamp, User,
        UserId, session::IpText,
    },
    repositories::Locked,
};

/// Attempts to lock a count that concurrent calls may delete.
const LOOKS: usize = 5;

row!(passwords: PasswordRow of Password {
    user_id: UserId,
    hash: PasswordHash,
    is_imported: bool,
    changed_at: Timestamp,
});

/// Repository of passwords. Methods take no reach: they concern users that were looked up before, or that are not revealed until the
/// password is proven.
pub struct PasswordRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl PasswordRepository<'_> {
    /// The user with this address, and its password. For an unknown address a stand-in's rows are read and discarded, so that both cases
    /// take equally long. Takes no reach: the result is not revealed until the password is proven.
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

    /// Users with a password, which stand in for unknown addresses. Takes no reach: they are never revealed.
    pub async fn stand_ins(&mut self, limit: i64) -> Result<Vec<UserId>> {
        query!(self.conn, c => {
            passwords::table.order(passwords::user_id).select(passwords::user_id).limit(limit).load(c)
        })
    }

    /// The password of a user that was looked up before.
    pub async fn get(&mut self, user: &User) -> Result<Option<Password>> {
        let row: Option<PasswordRow> = query!(self.conn, c => async {
            passwords::table.find(user.id).select(PasswordRow::as_select()).get_result(c).await.optional()
        })?;
        Ok(row.map(Password::from))
    }

    /// True if a user has a live session begun from this IP address with its password. A session begun by CreateRefreshToken proves nothing
    /// about the password. Takes no reach, and accepts any account.
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

    /// Counts an attempt before its password is compared, so that concurrent attempts are all counted. False if the attempt comes too
    /// early: its password must then not be compared. The count of `counterpart` is only read: a decoy's for a user and a user's for a decoy, so
    /// that the rarely read row is read in either case. Takes no reach, and accepts any account.
    pub async fn count_attempt(
        &mut self,
        account: AccountId,
        counterpart: AccountId,
        source: &Source,
        now: Timestamp,
    ) -> Result<bool> {
        let _: Option<i64> = query!(self.conn, c => async {
            let row = sign_in_failures::table.find((counterpart, Source::default()));
            row.select(sign_in_failures::failures).get_result(c).await.optional()
        })?;
        let before = self.lock_failures(account, &Source::default(), now).await?;
        let (before, counted) = if source.is_familiar() {
            // All sources of an account are counted under the lock of its first row; otherwise concurrent attempts could exceed the total.
            let before = self.lock_failures(account, source, now).await?;
            let all = self.familiar_failures(account).await?;
            (before, before.and_one_familiar(source, &all, now))
        } else {
            (before, before.and_one(source, now))
        };
        // Written even if nothing was counted, so that both cases take equally long.
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

    /// Locks the count of an account and a source. For an address from which the user has a session, it is created with zero on first use.
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
        // Concurrent calls that proved the password keep deleting the row.
        Err(Error::Conflict)
    }

    /// The counts of an account's familiar addresses.
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

    /// Creates the count of an account and a source, unless it exists.
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

    /// Forgets failures: those from `source`, and expired ones from familiar addresses, which would otherwise count forever once the user
    /// has no session there.
    pub async fn forget_failures(&mut self, user: &User, source: &Source, now: Timestamp) -> Result<()> {
        // In the lock order of `count_attempt`: the row of unknown addresses first.
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

    /// Forgets failures from unknown addresses. The row is kept, so that the next attempt takes as long as for an unknown account.
    async fn forget_unknown(&mut self, user: &User) -> Result<()> {
        let unknown = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(AccountId::from(user.id)))
            .filter(sign_in_failures::source.eq(Source::default()));
        execute!(self.conn, diesel::update(unknown).set(sign_in_failures::failures.eq(0)))
    }

    /// Forgets all failures of a user.
    pub async fn forget_all_failures(&mut self, user: &User) -> Result<()> {
        self.forget_unknown(user).await?;
        let familiar = sign_in_failures::table
            .filter(sign_in_failures::account_id.eq(AccountId::from(user.id)))
            .filter(sign_in_failures::source.ne(Source::default()));
        execute!(self.conn, diesel::delete(familiar))
    }

    /// Sets a locked user's first password. False if it has one.
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

    /// Sets a locked user's password, replacing any previous one.
    pub async fn replace(&mut self, user: &User, password: &Password, action: Action) -> Result<()> {
        let mut password = password.clone();
        if let Some(former) = self.get(user).await? {
            // The time tells a proof of the former password from one of this, also if both are set in one millisecond.
            password.changed_at = password.changed_at.max(former.changed_at.after(Timestamp::RESOLUTION));
        }
        execute!(
            self.conn,
            diesel::insert_into(passwords::table)
                .values(PasswordRow::from(&password))
                .on_conflict(passwords::user_id)
                .do_update()
                .set(PasswordRow::from(&password))
        )?;
        self.begin_to_count(user.id.into(), &Source::default(), password.changed_at).await?;
        self.happened(user, action);
        Ok(())
    }

    /// Stores a new hash of the same password, if it has not changed since it was read. No event: no response depends on it.
    pub async fn rehash(&mut self, before: &Password, hash: &PasswordHash) -> Result<()> {
        let same = passwords::table
            .filter(passwords::user_id.eq(before.user_id))
            .filter(passwords::hash.eq(before.hash.clone()));
        execute!(
            self.conn,
            diesel::update(same).set((passwords::hash.eq(hash.clone()), passwords::is_imported.eq(false)))
        )
    }

    /// Records an event about a user that changes nothing shown of it.
    pub fn happened(&mut self, user: &User, action: Action) {
        self.conn.record(Change::nothing(action, State::from(user.clone()).subject()));
    }

    /// Deletes a locked user's password. False if it has none.
    pub async fn remove(&mut self, user: &User) -> Result<bool> {
        let removed = query!(self.conn, c => {
            diesel::delete(passwords::table.filter(passwords::user_id.eq(user.id))).execute(c)
        })?;
        if removed > 0 {
            self.happened(user, Action::UserPasswordRemoved);
        }
        Ok(removed > 0)
    }

    /// Deletes the password and the counts of a locked user who is being erased.
    pub async fn delete_of_user(&mut self, user: &Locked<User>) -> Result<()> {
        execute!(self.conn, diesel::delete(passwords::table.filter(passwords::user_id.eq(user.id))))?;
        let of_user = sign_in_failures::table.filter(sign_in_failures::account_id.eq(AccountId::from(user.id)));
        execute!(self.conn, diesel::delete(of_user))
    }
}
