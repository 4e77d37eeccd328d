//! The proof of who somebody is: a password that is compared with the user's, whichever method asks, by one rule for how often and how
//! fast. A second proof beside the password would have its place here.

use std::net::IpAddr;

use crate::{
    app::{App, attempts::Origins, hashing::Compared},
    db::Conn,
    error::{Error, Precondition, Result},
    grpc::status::reason_text,
    models::{
        AccountId, Call, Locked, NormalizedEmail, Password, PasswordHash, Plaintext, PrincipalId, Reach, Source,
        Timestamp, User, UserId, refresh_token::IpText, stored::StoredText as _,
    },
    security::{
        password::Unacceptable,
        sealing::{TAG_BYTES, tag},
    },
};

/// Whose password somebody says to know.
pub(super) struct Claimed {
    account: AccountId,
    /// Whose count is read beside that of the account.
    beside: AccountId,
    user: Option<User>,
    stored: Option<Password>,
}

/// A proven password.
pub(super) struct Proof {
    pub(super) user: User,
    stored: Password,
    source: Source,
    /// When it was tried.
    tried_at: Timestamp,
    /// A hash of the password as it would be made now, if the stored one is not.
    anew: Option<PasswordHash>,
}

impl Claimed {
    /// Whoever has an address.
    pub(super) async fn by_email(app: &App, email: &NormalizedEmail) -> Result<Self> {
        let stand_ins = app.attempts.stand_ins(&app.db).await?;
        let stand_in = stand_in(app, email, &stand_ins);
        let found = app.db.read(async |conn| conn.passwords().get_by_email(email, stand_in).await).await?;
        // Made in any case, as it takes a moment. Without a password there is nothing to guess, and nothing to count.
        let decoy = decoy(app, email);
        Ok(match found {
            Some((user, Some(stored))) => {
                Self { account: user.id.into(), beside: decoy, user: Some(user), stored: Some(stored) }
            }
            found => {
                let beside = stand_in.map_or(decoy, AccountId::from);
                Self { account: decoy, beside, user: found.map(|(user, _)| user), stored: None }
            }
        })
    }

    /// A user that was found within the caller's reach.
    pub(super) fn by_user(app: &App, user: User, stored: Option<Password>) -> Self {
        let decoy = decoy(app, &user.email_normalized);
        let account = if stored.is_some() { user.id.into() } else { decoy };
        Self { account, beside: decoy, user: Some(user), stored }
    }
}

/// The account that tries for an address are counted for that nobody has.
fn decoy(app: &App, email: &NormalizedEmail) -> AccountId {
    AccountId::decoy(digest(app, "sign-in decoys", email))
}

/// The user who is read for an address that nobody has: for one address always the same.
fn stand_in(app: &App, email: &NormalizedEmail, stand_ins: &[UserId]) -> Option<UserId> {
    let number = u128::from_be_bytes(digest(app, "sign-in stand-ins", email));
    let at = number.checked_rem(u128::try_from(stand_ins.len()).ok()?)?;
    stand_ins.get(usize::try_from(at).ok()?).copied()
}

/// What nobody can tell of an address without the keys of the service.
fn digest(app: &App, purpose: &str, email: &NormalizedEmail) -> [u8; TAG_BYTES] {
    let keys = app.keys.derive(purpose);
    let key = keys.first().map(|key| key.as_slice()).unwrap_or_default();
    tag(key, &[email.as_stored().as_bytes()])
}

/// Whom a place in the queue of hashes counts for: the owner of the credential, whatever its key. Nobody, for platform admins.
fn accountable(call: &Call) -> Option<PrincipalId> {
    let caller = &call.caller;
    (!caller.is_platform_admin()).then_some(caller.accountable)
}

/// From where somebody tries: `address` is familiar if the user of the account has a session from there.
async fn source_of(app: &App, account: AccountId, address: Option<&IpText>, now: Timestamp) -> Result<Source> {
    let Some(address) = address else { return Ok(Source::default()) };
    let known = app.db.read(async |conn| conn.passwords().is_familiar(account, address, now).await).await?;
    Ok(if known { Source::familiar(address) } else { Source::default() })
}

/// Compares a presented password with that of whoever is claimed. A wrong one, none, a suspended user, nobody at all and too many tries
/// are one error, and take the same time: whatever is missing something else stands in for.
///
/// An address from which too many wrong ones came is refused before anything is compared, unless the user has a session from there:
/// a bad neighbour keeps nobody out. A wrong password is then answered as everybody else is at that address.
pub(super) async fn prove(
    app: &App,
    call: &Call,
    claimed: Claimed,
    presented: Plaintext,
    address: Option<&IpText>,
    rejection: Precondition,
) -> Result<Proof> {
    let credential = call.caller.presented.id();
    let ip: Option<IpAddr> = address.and_then(|address| address.as_stored().parse().ok());
    let origins = Origins::of(&call.caller, ip);
    let wait = app.attempts.wait(&origins);
    if let Some(wait) = wait
        && !source_of(app, claimed.account, address, app.now()).await?.is_familiar()
    {
        return Err(Error::TooManyAttempts(wait));
    }
    let is_active = claimed.user.as_ref().is_some_and(User::is_active);
    let with = app.hashing.comparable(claimed.stored.as_ref().filter(|_| is_active));
    let turn = app.hashing.turn_to_compare(&with, accountable(call)).await?;
    // Once it has a turn: a try that is not looked at does not count.
    let (account, beside, now) = (claimed.account, claimed.beside, app.now());
    let source = source_of(app, account, address, now).await?;
    let counted =
        app.change_by_system(async |tx| tx.passwords().count_try(account, beside, &source, now).await).await?;
    let compared = turn.compare(presented, with).await?;
    match (compared, claimed.user, claimed.stored) {
        (Compared::Matches(anew), Some(user), Some(stored)) if counted => {
            Ok(Proof { user, stored, source, tried_at: now, anew })
        }
        (_, user, _) => {
            let error = Error::Precondition(rejection);
            app.attempts.note(user, credential, &call.origin, reason_text(crate::grpc::status::reason(&error)));
            if let Some(wait) = wait {
                return Err(Error::TooManyAttempts(wait));
            }
            app.attempts.count(origins);
            Err(error)
        }
    }
}

impl Proof {
    /// Takes a proof into the transaction that acts on it: locks the user, and refuses one who is no longer active or has another
    /// password by now. Wrong tries before are forgotten, and an old hash is replaced.
    pub(super) async fn hold(&self, tx: &mut Conn, rejection: Precondition) -> Result<Locked<User>> {
        let user = tx.users().lock(&Reach::Everything, self.user.id).await?;
        let Some(user) = user.filter(|user| user.is_active()) else { return Err(Error::Precondition(rejection)) };
        let stored = tx.passwords().get(&user).await?;
        // Not by the hash: another proof of the same password may have renewed it.
        if stored.is_none_or(|stored| stored.changed_at != self.stored.changed_at) {
            return Err(Error::Precondition(rejection));
        }
        tx.passwords().forget_failures(&user, &self.source, self.tried_at).await?;
        Ok(user)
    }

    /// Writes the hash that would be made now, if the stored one is not.
    pub(super) async fn renew(&self, tx: &mut Conn) -> Result<()> {
        match &self.anew {
            Some(hash) => tx.passwords().rehash(&self.stored, hash).await,
            None => Ok(()),
        }
    }
}

/// The names that a user's password must not be: its own, its e-mail, and those of its organizations.
pub(super) async fn names_of(conn: &mut Conn, user: &User) -> Result<Vec<String>> {
    let mut names = own_names(user.email.as_str(), user.name.as_str());
    for (name, slug) in conn.organizations().names_of_member(user.id).await? {
        names.push(name.as_str().to_owned());
        names.push(slug.as_str().to_owned());
    }
    Ok(names)
}

/// The names that somebody brings along.
pub(super) fn own_names(email: &str, name: &str) -> Vec<String> {
    let local = email.rsplit_once('@').map_or(email, |(local, _)| local);
    [email, local, name].map(str::to_owned).to_vec()
}

/// Refuses a new password that breaks a rule.
pub(super) fn acceptable(app: &App, field: &'static str, password: &Plaintext, names: &[String]) -> Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let checked: std::result::Result<(), Unacceptable> = app.passwords.check(password.expose(), &names);
    checked.map_err(|rule| Error::PasswordUnacceptable { field, rule })
}

/// Hashes a new password that a call gives.
pub(super) async fn hash(app: &App, call: &Call, password: Plaintext) -> Result<PasswordHash> {
    app.hashing.turn_to_make(accountable(call)).await?.make(password).await
}

/// A password of a user, not yet stored.
pub(super) fn made_here(user_id: UserId, hash: PasswordHash, now: crate::models::Timestamp) -> Password {
    Password { user_id, hash, is_imported: false, changed_at: now }
}
