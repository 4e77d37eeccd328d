//! One-time steps at start: the check of the key ring against the database, and the first platform admin.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    app::{change::by_system, platform_admin},
    clock::Clock,
    config::{DatabaseArgs, SecretText},
    db::Database,
    error::{Error, Result, chain},
    grpc::ENCODERS,
    models::{
        ApiKeyOwner, Email, Environment, IpRanges, JsonObject, Name, NewApiKey, NewUser, Plaintext, Scope, Scopes,
    },
    security::{
        random,
        sealing::{KeyRing, OpenError, SealedAt},
        token::SecretPrefixes,
    },
};

/// The plaintext sealed under every key to recognise the key later.
const KEY_CHECK: &[u8] = b"tenantry";
/// E-mail of the platform admin created at the first start.
const FIRST_ADMIN_EMAIL: &str = "admin@tenantry.local";
const FIRST_ADMIN_NAME: &str = "Platform admin";

/// The sealing context of a key check. The key's id is already part of every sealed value.
const KEY_CHECK_PLACE: SealedAt<'static> =
    SealedAt { table: "cf_sealing_keys", column: "key_check", row: Uuid::nil(), owner: Uuid::nil() };

/// Loads the key ring, and refuses one that cannot open what the database was sealed with.
///
/// # Errors
/// A one-line description of the problem.
pub async fn key_ring(
    setting: Option<&SecretText>,
    database: &DatabaseArgs,
    db: &Database,
    clock: &dyn Clock,
) -> std::result::Result<KeyRing, String> {
    let unusable = |error: Error| format!("the sealing keys cannot be checked: {}", chain(&error));
    let known = db.read(async |conn| conn.sealing_keys().all().await).await.map_err(unusable)?;
    let text = match (setting, Database::sqlite_file(database)) {
        (Some(keys), _) => keys.0.clone(),
        (None, Some(file)) => key_file(file, known.is_empty())?,
        (None, None) => {
            return Err(
                "PostgreSQL needs TENANTRY_SEALING_KEYS: set it to k1:KEY with KEY from `openssl rand -base64 32`, \
                        and keep it"
                    .to_owned(),
            );
        }
    };
    let ring = KeyRing::parse(&text).map_err(|error| format!("the sealing keys cannot be read: {error}"))?;
    for (id, check) in &known {
        match ring.open(check, KEY_CHECK_PLACE) {
            Ok(opened) if opened.as_slice() == KEY_CHECK => {}
            Err(OpenError::UnknownKey) => {
                return Err(format!(
                    "the sealing key {id:?}, which this database was sealed with, is not in the key ring"
                ));
            }
            Ok(_) | Err(OpenError::Altered) => {
                return Err(format!("the sealing key {id:?} is not the one that this database was sealed with"));
            }
        }
    }
    if !known.iter().any(|(id, _)| id == ring.primary_id()) {
        let check = ring.seal(KEY_CHECK, KEY_CHECK_PLACE);
        let now = clock.now();
        let store = by_system(db, ENCODERS.event, clock, async |tx| {
            tx.sealing_keys().insert(ring.primary_id(), &check, now).await
        });
        store.await.map_err(unusable)?;
    }
    Ok(ring)
}

/// Reads the key file next to a SQLite database, or creates one if nothing has been sealed in the database yet.
fn key_file(database: &Path, may_create: bool) -> std::result::Result<Zeroizing<String>, String> {
    let mut name = database.as_os_str().to_owned();
    name.push(".keys");
    let path = Path::new(&name);
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_create => {
            let text = KeyRing::generate();
            let write = || -> std::io::Result<()> {
                let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
                file.write_all(text.as_bytes())?;
                file.sync_all()
            };
            write().map_err(|error| format!("cannot write the sealing key file {}: {error}", path.display()))?;
            Ok(text)
        }
        Err(error) => Err(format!("cannot read the sealing key file {}: {error}", path.display())),
    }
}

/// Creates a platform admin if the database has no users, and returns its API key.
pub async fn first_admin(db: &Database, clock: &dyn Clock, secrets: &SecretPrefixes) -> Result<Option<Plaintext>> {
    if !db.read(async |conn| conn.users().none_exists().await).await? {
        return Ok(None);
    }
    create_admin(db, clock, secrets, (FIRST_ADMIN_EMAIL, FIRST_ADMIN_NAME), false).await.map(Some)
}

/// Creates a platform admin and returns a new API key for it with every scope. An existing user with this e-mail is promoted only if
/// `existing` is set: see [`platform_admin::create`].
///
/// # Errors
/// [`Error::Invalid`] for an invalid e-mail or name; the errors of [`platform_admin::create`].
pub async fn create_admin(
    db: &Database,
    clock: &dyn Clock,
    secrets: &SecretPrefixes,
    (email, name): (&str, &str),
    existing: bool,
) -> Result<Plaintext> {
    let email = Email::parse(email).map_err(|rule| Error::invalid("--email", rule))?;
    let name = Name::parse(name).map_err(|rule| Error::invalid("--name", rule))?;
    let every_scope = Scope::parse("*").map_err(Error::internal)?;
    let new = &NewUser {
        email,
        name,
        avatar_url: None,
        metadata: JsonObject::default(),
        email_verified: false,
        external_id: None,
        private_metadata: JsonObject::default(),
    };
    let now = clock.now();
    let (plaintext, secret) = secrets.mint_api_key(Environment::Live);
    let create = by_system(db, ENCODERS.event, clock, async |tx| {
        let user = platform_admin::create(tx, new, existing, now).await?;
        let key = NewApiKey {
            owner: ApiKeyOwner::User(user.id),
            name: Name::parse("Made on the command line").map_err(Error::internal)?,
            scopes: Scopes::from_iter([every_scope.clone()]),
            environment: Environment::Live,
            expires_at: None,
            allowed_ip_ranges: IpRanges::default(),
            rate_limit: 0,
            metadata: JsonObject::default(),
        };
        tx.api_keys()
            .insert(&key.to_api_key(random::uuid(now).into(), secret.clone(), (Some(user.id), false), now))
            .await
    });
    create.await?;
    Ok(plaintext)
}
