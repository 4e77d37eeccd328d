//! Setting, verifying, changing and removing passwords.

use crate::{
    app::{
        App, authority,
        change::Answer,
        ending, guards,
        hashing::ImportedHash,
        proof::{self, ClaimedAccount, Proof},
        session,
    },
    db::Conn,
    error::{Error, Precondition, Result, Taken},
    models::{Action, Call, Password, Plaintext, SessionId, User, UserId, session::IpText},
};

/// The reason stored with API keys that are revoked together with a password change.
const CHANGED: &str = "the password was changed";

/// A password presented for a user.
pub struct PresentedPassword {
    /// The user.
    pub user_id: UserId,
    /// The password.
    pub password: Plaintext,
    /// The address that it was presented from.
    pub ip_address: Option<IpText>,
}

/// A change of a password.
pub struct PasswordChange {
    /// The current password.
    pub current: PresentedPassword,
    /// The new password.
    pub new_password: Plaintext,
    /// Whether the user's sessions are kept.
    pub keep_sessions: bool,
    /// A session that is kept in any case.
    pub except: Option<SessionId>,
    /// Whether the user's API keys are revoked.
    pub revoke_api_keys: bool,
}

/// The credentials revoked together with a password.
pub struct Revocations {
    /// Sessions that ended.
    pub sessions: i64,
    /// API keys that were revoked.
    pub api_keys: i64,
}

/// Verifies the password of a user.
pub async fn verify<A: Answer>(app: &App, call: &Call, presented: PresentedPassword, answer: fn(()) -> A) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let proof = Box::pin(prove(app, call, presented)).await?;
    app.change(
        call,
        async |tx| {
            let user = proof.lock_user(tx, Precondition::PasswordRejected).await?;
            proof.rehash(tx).await?;
            tx.passwords().happened(&user, Action::UserPasswordVerified);
            Ok(())
        },
        answer,
    )
    .await
}

/// Sets the first password of a user.
pub async fn set<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    password: Plaintext,
    answer: fn(()) -> A,
) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let names = app.db.read(async |conn| {
        let user = guards::visible_user(conn, &call.caller, user_id).await?;
        proof::names_of(conn, &user).await
    });
    proof::acceptable(app, "password", &password, &names.await?)?;
    let hash = proof::hash(app, call, password).await?;
    let password = proof::new_password(user_id, hash, app.now());
    app.change(
        call,
        async |tx| {
            let user = guards::lock_active_user(tx, &call.caller, user_id).await?;
            authority::account(tx, &call.caller, &user)?;
            insert_first(tx, &user, &password, Action::UserPasswordSet).await
        },
        answer,
    )
    .await
}

/// Changes the password of a user who proves the current one. The caller's own session is kept.
pub async fn change<A: Answer>(
    app: &App,
    call: &Call,
    change: PasswordChange,
    answer: fn(Revocations) -> A,
) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let names = app.db.read(async |conn| {
        let user = guards::own_user(conn, &call.caller, change.current.user_id).await?;
        proof::names_of(conn, &user).await
    });
    proof::acceptable(app, "new_password", &change.new_password, &names.await?)?;
    let proof = Box::pin(prove(app, call, change.current)).await?;
    let hash = proof::hash(app, call, change.new_password).await?;
    let now = app.now();
    let password = proof::new_password(proof.user.id, hash, now);
    let except = change.except.or(call.caller.session());
    let (keep_sessions, revoke_api_keys) = (change.keep_sessions, change.revoke_api_keys);
    app.change(
        call,
        async |tx| {
            let user = proof.lock_user(tx, Precondition::PasswordRejected).await?;
            authority::proven_account(tx);
            tx.passwords().replace(&user, &password, Action::UserPasswordChanged).await?;
            ending::mailed_tokens(tx, &user).await?;
            let sessions = if keep_sessions { 0 } else { session::end_all(tx, user.id, except, now).await? };
            let api_keys = if revoke_api_keys { tx.api_keys().revoke_of_user(&user, CHANGED, now).await? } else { 0 };
            Ok(Revocations { sessions, api_keys })
        },
        answer,
    )
    .await
}

/// A password hash of another system.
pub struct ImportedPassword {
    /// The hash.
    pub hash: ImportedHash,
    /// A password that it must match.
    pub known: Option<Plaintext>,
}

/// Sets the first password of a user from a hash computed by another system. Returns the name of the hash's format.
pub async fn import_hash<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    imported: ImportedPassword,
    answer: fn(&'static str) -> A,
) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let format = imported.hash.format;
    if !matches_known(app, &imported).await? {
        return Err(Error::invalid("known_password", NO_MATCH));
    }
    let hash = app.hashing.storable(imported.hash).await?;
    let password = Password { user_id, hash, is_imported: true, changed_at: app.now() };
    app.change(
        call,
        async |tx| {
            let user = guards::lock_user(tx, &call.caller, user_id).await?;
            authority::account(tx, &call.caller, &user)?;
            insert_first(tx, &user, &password, Action::UserPasswordImported).await?;
            Ok(format)
        },
        answer,
    )
    .await
}

/// The rule that a hash breaks which does not match the known password.
pub(in crate::app) const NO_MATCH: &str = "must be the password of the hash";

/// True if an imported hash matches the password that it must match, if any.
pub(in crate::app) async fn matches_known(app: &App, imported: &ImportedPassword) -> Result<bool> {
    let Some(known) = &imported.known else { return Ok(true) };
    app.hashing.matches(&imported.hash, known.clone()).await
}

/// Removes the password of a user, if any, and ends all sessions.
pub async fn remove<A: Answer>(app: &App, call: &Call, user_id: UserId, answer: fn(()) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let user = guards::lock_user(tx, &call.caller, user_id).await?;
            authority::may_authenticate(&call.caller, &user)?;
            if tx.passwords().remove(&user).await? {
                ending::mailed_tokens(tx, &user).await?;
                session::end_all(tx, user.id, None, now).await?;
            }
            Ok(())
        },
        answer,
    )
    .await
}

/// Compares a presented password with that of its user. The user must be the caller's own unless the caller is a platform admin.
pub(in crate::app) async fn prove(app: &App, call: &Call, presented: PresentedPassword) -> Result<Proof> {
    let found = app.db.read(async |conn| {
        let user = guards::own_user(conn, &call.caller, presented.user_id).await?;
        let stored = conn.passwords().get(&user).await?;
        Ok((user, stored))
    });
    let (user, stored) = found.await?;
    let claimed = ClaimedAccount::by_user(app, user, stored);
    let address = presented.ip_address.as_ref();
    proof::prove(app, call, claimed, presented.password, address, Precondition::PasswordRejected).await
}

/// Stores the first password of a user.
async fn insert_first(tx: &mut Conn, user: &User, password: &Password, action: Action) -> Result<()> {
    ending::mailed_tokens(tx, user).await?;
    let is_first = tx.passwords().insert(user, password, action).await?;
    if is_first { Ok(()) } else { Err(Error::Taken(Taken::Password)) }
}
