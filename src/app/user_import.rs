//! Imports of users: each batch is one transaction, and each user has an outcome of its own.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    App,
    admission::Place,
    authentication::password::{self, ImportedPassword},
    authority,
    change::Answer,
    guards,
};
use crate::{
    db::Conn,
    error::{Error, Result, Taken},
    models::{
        Action, Call, ExternalId, NewUser, NormalizedEmail, Password, PasswordHash, Priority, Scope, Timestamp, User,
        UserId,
    },
};

/// Maximum number of attempts at a batch when another call creates one of its users meanwhile.
const ATTEMPTS: usize = 5;

/// How often a waiting batch asks for a place.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A user to import.
pub struct ImportedUser {
    /// The id in the system that the user comes from, as it was sent.
    pub external_id: String,
    /// The user to create and, optionally, the hash of its password; or every rule that the request breaks.
    pub user: std::result::Result<(NewUser, Option<ImportedPassword>), Vec<String>>,
}

/// A user to import whose password hash has the form that is stored, and the name of the hash's format.
struct StorableUser {
    external_id: String,
    user: std::result::Result<(NewUser, Option<PasswordHash>), Vec<String>>,
    format: &'static str,
}

/// The result for one user of an import.
pub struct ImportResult {
    /// The id in the system that the user comes from, as it was sent.
    pub external_id: String,
    /// The outcome.
    pub outcome: ImportOutcome,
    /// The name of the format of its password hash; empty without a hash.
    pub password_format: &'static str,
}

/// The outcomes of the import of one user.
pub enum ImportOutcome {
    /// The user was created.
    Created(UserId),
    /// A user with this external id already exists and was left unchanged.
    Existing(UserId),
    /// Another user has the e-mail.
    EmailTaken,
    /// The request breaks these rules.
    Invalid(Vec<String>),
}

/// Imports a batch of users, skipping those that are invalid, already exist, or whose e-mail another user has. Waits until calls of a
/// higher priority leave room for it.
///
/// # Errors
/// [`Error::Overloaded`] if there is no room in time; [`Error::Unauthenticated`] if the credential no longer has `scope`.
pub async fn import_batch<A: Answer>(
    app: &App,
    call: &Call,
    scope: &Scope,
    users: Vec<ImportedUser>,
    answer: fn(Vec<ImportResult>) -> A,
) -> Result<A> {
    let _place = place(app).await?;
    let users = &storable(app, users).await?;
    let mut attempt = 1;
    loop {
        let imported = app.change(call, async |tx| store(app, tx, call, scope, users).await, answer).await;
        match imported {
            // Another call created one of them after the lookup.
            Err(Error::Taken(Taken::UserEmail | Taken::UserExternalId)) if attempt < ATTEMPTS => attempt += 1,
            imported => return imported,
        }
    }
}

/// Waits until calls of a higher priority leave room for a batch.
async fn place(app: &App) -> Result<Place<'_>> {
    let give_up = Instant::now() + app.policy.stream_timeout;
    loop {
        match app.overload.place(Priority::Import) {
            Err(_) if Instant::now() < give_up => tokio::time::sleep(RETRY_INTERVAL).await,
            place => return place,
        }
    }
}

/// Checks known passwords, and hashes weak hashes again, outside of the transaction. Those of users that already exist are left out: a
/// second run of an import is quick.
async fn storable(app: &App, users: Vec<ImportedUser>) -> Result<Vec<StorableUser>> {
    let ids = users.iter().filter_map(|imported| match &imported.user {
        Ok((user, Some(password))) if password.hash.is_weak() => user.external_id.clone(),
        _ => None,
    });
    let ids: &Vec<ExternalId> = &ids.collect();
    let existing: HashMap<ExternalId, UserId> = match ids.as_slice() {
        [] => HashMap::new(),
        _ => app.db.read(async |conn| conn.users().by_external_ids(ids).await).await?.into_iter().collect(),
    };
    let mut storable = Vec::with_capacity(users.len());
    for ImportedUser { external_id, user } in users {
        let mut format = "";
        let user = match user {
            Err(violations) => Err(violations),
            Ok((user, None)) => Ok((user, None)),
            Ok((user, Some(password))) => {
                format = password.hash.format;
                let is_stored = user.external_id.as_ref().is_some_and(|id| existing.contains_key(id));
                if !password::matches_known(app, &password).await? {
                    Err(vec![format!("known_password {}", password::NO_MATCH)])
                } else if is_stored {
                    Ok((user, None))
                } else {
                    Ok((user, Some(app.hashing.storable(password.hash).await?)))
                }
            }
        };
        storable.push(StorableUser { external_id, user, format });
    }
    Ok(storable)
}

async fn store(
    app: &App,
    tx: &mut Conn,
    call: &Call,
    scope: &Scope,
    users: &[StorableUser],
) -> Result<Vec<ImportResult>> {
    let now = app.now();
    // The check of the first message does not cover the rest of the stream.
    guards::still_holds(tx, &call.caller, scope, now).await?;
    // The accounts are created here.
    authority::proven_account(tx);
    let valid = || users.iter().filter_map(|imported| imported.user.as_ref().ok());
    let ids: Vec<ExternalId> = valid().filter_map(|(user, _)| user.external_id.clone()).collect();
    let emails: Vec<NormalizedEmail> = valid().map(|(user, _)| user.email.normalized().clone()).collect();
    // In this order, a user imported between the two reads counts as existing, not as one whose e-mail is taken.
    let mut taken: HashSet<NormalizedEmail> = tx.users().taken_emails(&emails).await?.into_iter().collect();
    let mut existing: HashMap<ExternalId, UserId> = tx.users().by_external_ids(&ids).await?.into_iter().collect();
    let mut results = Vec::with_capacity(users.len());
    let mut created = Vec::new();
    for imported in users {
        let outcome = match &imported.user {
            Err(violations) => ImportOutcome::Invalid(violations.clone()),
            Ok((new, hash)) => {
                if let Some(id) = new.external_id.as_ref().and_then(|id| existing.get(id)) {
                    ImportOutcome::Existing(*id)
                } else if !taken.insert(new.email.normalized().clone()) {
                    ImportOutcome::EmailTaken
                } else {
                    let user = new.clone().into_user(app.new_id(now), now);
                    existing.extend(user.external_id.clone().map(|external_id| (external_id, user.id)));
                    let outcome = ImportOutcome::Created(user.id);
                    created.push((user, hash.as_ref()));
                    outcome
                }
            }
        };
        let (external_id, password_format) = (imported.external_id.clone(), imported.format);
        results.push(ImportResult { external_id, outcome, password_format });
    }
    // In one order, so that two imports of the same users wait for each other once and not in a circle.
    created.sort_unstable_by(|(one, _), (other, _)| in_order(one).cmp(&in_order(other)));
    for (user, hash) in created {
        insert(tx, &user, hash, now).await?;
    }
    Ok(results)
}

/// The key by which the users of a batch are ordered before they are stored.
fn in_order(user: &User) -> (Option<&str>, &str) {
    (user.external_id.as_ref().map(ExternalId::as_str), user.email_normalized.as_str())
}

/// Stores a user with its imported password, if any.
async fn insert(tx: &mut Conn, user: &User, hash: Option<&PasswordHash>, now: Timestamp) -> Result<()> {
    tx.users().insert(user).await?;
    if let Some(hash) = hash.cloned() {
        let password = Password { user_id: user.id, hash, is_imported: true, changed_at: now };
        tx.passwords().replace(user, &password, Action::UserPasswordImported).await?;
    }
    Ok(())
}
