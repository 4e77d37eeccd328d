//! Proof of identity by password. Every method that compares a password does so here, so that a single limit bounds how often and how
//! fast passwords can be guessed. A second factor belongs here.

use std::net::IpAddr;

use crate::{
    app::{App, attempts::Origins, hashing::Comparison},
    db::Conn,
    error::{Error, Precondition, Result},
    models::{
        AccountId, Call, NormalizedEmail, Password, PasswordHash, Plaintext, PrincipalId, Reach, Source, Timestamp,
        User, UserId, session::IpText, stored::StoredText as _,
    },
    repositories::Locked,
    security::{
        password::Unacceptable,
        sealing::{TAG_BYTES, tag},
    },
};

/// The account whose password a caller claims to know. It may not exist.
pub(super) struct ClaimedAccount {
    account: AccountId,
    /// A second counter, which is only read, so that users and decoys cost the same.
    also_read: AccountId,
    user: Option<User>,
    stored: Option<Password>,
}

/// A password that matched.
pub(super) struct Proof {
    pub(super) user: User,
    stored: Password,
    source: Source,
    /// When it was compared.
    tried_at: Timestamp,
    /// A hash with the current settings, if the stored one was created with others.
    rehashed: Option<PasswordHash>,
}

impl ClaimedAccount {
    /// The account with this e-mail.
    pub(super) async fn by_email(app: &App, email: &NormalizedEmail) -> Result<Self> {
        let stand_ins = app.attempts.stand_ins(&app.db).await?;
        let stand_in = stand_in(app, email, &stand_ins);
        let found = app.db.read(async |conn| conn.passwords().get_by_email(email, stand_in).await).await?;
        // Computed in any case, because it takes time. Without a password there is nothing to guess, and the decoy is counted.
        let decoy = decoy(app, email);
        Ok(match found {
            Some((user, Some(stored))) => {
                Self { account: user.id.into(), also_read: decoy, user: Some(user), stored: Some(stored) }
            }
            found => {
                let also_read = stand_in.map_or(decoy, AccountId::from);
                Self { account: decoy, also_read, user: found.map(|(user, _)| user), stored: None }
            }
        })
    }

    /// The account of a user who was found within the caller's reach.
    pub(super) fn by_user(app: &App, user: User, stored: Option<Password>) -> Self {
        let decoy = decoy(app, &user.email_normalized);
        let account = if stored.is_some() { user.id.into() } else { decoy };
        Self { account, also_read: decoy, user: Some(user), stored }
    }
}

/// The decoy account that counts attempts on an address without a password.
fn decoy(app: &App, email: &NormalizedEmail) -> AccountId {
    AccountId::decoy(digest(app, "sign-in decoys", email))
}

/// The user read instead for an unknown address, always the same one for the same address.
fn stand_in(app: &App, email: &NormalizedEmail, stand_ins: &[UserId]) -> Option<UserId> {
    let number = u128::from_be_bytes(digest(app, "sign-in stand-ins", email));
    let at = number.checked_rem(u128::try_from(stand_ins.len()).ok()?)?;
    stand_ins.get(usize::try_from(at).ok()?).copied()
}

/// A digest of an address that cannot be computed without the keys of the service.
fn digest(app: &App, purpose: &str, email: &NormalizedEmail) -> [u8; TAG_BYTES] {
    tag(app.keys.derive_primary(purpose).as_slice(), &[email.as_stored().as_bytes()])
}

/// The principal whose share of the hashing queue a call uses: the accountable owner of its credential. `None` for platform admins.
fn accountable(call: &Call) -> Option<PrincipalId> {
    let caller = &call.caller;
    (!caller.is_platform_admin()).then_some(caller.accountable)
}

/// The source of an attempt. `address` is familiar if the user of the account has a session from it.
async fn source_of(app: &App, account: AccountId, address: Option<&IpText>, now: Timestamp) -> Result<Source> {
    let Some(address) = address else { return Ok(Source::default()) };
    let known = app.db.read(async |conn| conn.passwords().is_familiar(account, address, now).await).await?;
    Ok(if known { Source::familiar(address) } else { Source::default() })
}

/// Compares a presented password with that of the claimed account. A wrong password, no password, a suspended user, an unknown account
/// and too many attempts return the same error and take the same time: missing inputs are replaced by decoys.
///
/// An address that has sent too many wrong passwords is refused before anything is compared, unless the user has a session from it: a
/// bad neighbour cannot lock out other users. A wrong password from there then gets the same answer as any other caller at that address.
pub(super) async fn prove(
    app: &App,
    call: &Call,
    claimed: ClaimedAccount,
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
    let turn = app.hashing.permit_to_verify(&with, accountable(call)).await?;
    // Counted only once its turn has come: an attempt that is not compared does not count.
    let (account, also_read, now) = (claimed.account, claimed.also_read, app.now());
    let source = source_of(app, account, address, now).await?;
    let counted =
        app.change_by_system(async |tx| tx.passwords().count_attempt(account, also_read, &source, now).await).await?;
    let compared = turn.compare(presented, with).await?;
    match (compared, claimed.user, claimed.stored) {
        (Comparison::Matches(rehashed), Some(user), Some(stored)) if counted => {
            Ok(Proof { user, stored, source, tried_at: now, rehashed })
        }
        (_, user, _) => {
            let error = Error::Precondition(rejection);
            app.attempts.note(user, credential, &call.origin, (app.encoders.reason)(&error));
            if let Some(wait) = wait {
                return Err(Error::TooManyAttempts(wait));
            }
            app.attempts.count(origins);
            Err(error)
        }
    }
}

impl Proof {
    /// Locks the user in the transaction that acts on the proof. Refuses a user who is no longer active or whose password has changed
    /// since. Clears the failed attempts made before the proof.
    pub(super) async fn lock_user(&self, tx: &mut Conn, rejection: Precondition) -> Result<Locked<User>> {
        let user = tx.users().lock(&Reach::by_secret(), self.user.id).await?;
        let Some(user) = user.filter(|user| user.is_active()) else { return Err(Error::Precondition(rejection)) };
        let stored = tx.passwords().get(&user).await?;
        // The hash is no evidence: another proof of the same password may have replaced it.
        if stored.is_none_or(|stored| stored.changed_at != self.stored.changed_at) {
            return Err(Error::Precondition(rejection));
        }
        tx.passwords().forget_failures(&user, &self.source, self.tried_at).await?;
        Ok(user)
    }

    /// Replaces a stored hash that was not created with the current settings.
    pub(super) async fn rehash(&self, tx: &mut Conn) -> Result<()> {
        match &self.rehashed {
            Some(hash) => tx.passwords().rehash(&self.stored, hash).await,
            None => Ok(()),
        }
    }
}

/// Names that the password of a user must not equal: the user's name and e-mail, and the names of the user's organizations.
pub(super) async fn names_of(conn: &mut Conn, user: &User) -> Result<Vec<String>> {
    let mut names = own_names(user.email.as_str(), user.name.as_str());
    for (name, slug) in conn.organizations().names_of_member(user.id).await? {
        names.push(name.as_str().to_owned());
        names.push(slug.as_str().to_owned());
    }
    Ok(names)
}

/// The names of a user outside any organization.
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

/// Hashes a new password.
pub(super) async fn hash(app: &App, call: &Call, password: Plaintext) -> Result<PasswordHash> {
    app.hashing.permit_to_hash(accountable(call)).await?.make(password).await
}

/// A new password of a user, not yet stored, hashed by this service.
pub(super) fn new_password(user_id: UserId, hash: PasswordHash, now: Timestamp) -> Password {
    Password { user_id, hash, is_imported: false, changed_at: now }
}
