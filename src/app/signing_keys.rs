//! The signing keys of access tokens: sealed in the database, cached by every process, and rotated on schedule.
//!
//! A key is published some time before it signs, and for as long afterwards as a token that it signed can live. So a rotation never
//! breaks a valid token, neither here nor at a verifier that caches the JWK set for some minutes.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;

use crate::{
    app::App,
    db::{Conn, Database},
    error::{Error, Result},
    models::{SigningAlgorithm, SigningKey, SigningKeyId, Timestamp},
    security::{
        access_token::{self, Claims, Parties, Signing, Verifying},
        random,
        sealing::{KeyRing, SealedAt},
    },
};

/// How long a new key is published before it signs, by default: longer than JWK sets are cached.
pub const LEAD: Duration = Duration::from_mins(10);
/// How long clients may cache the JWK set, in seconds.
pub const MAX_AGE_SECONDS: u32 = 300;
/// The least time between two reloads for unknown key ids, because any client can send such an id. Earlier callers wait for it.
const LEAST: Duration = Duration::from_millis(50);

/// The treatment of existing keys at a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    /// They verify until the last token that they signed has expired.
    Outlive,
    /// They stop at once, and so do all tokens that they signed.
    Stop,
}

/// The cached keys of a process.
#[derive(Clone)]
pub struct SigningKeys(Arc<Shared>);

struct Shared {
    db: Database,
    sealing: KeyRing,
    parties: Parties,
    known: RwLock<Arc<KeySet>>,
    looked: tokio::sync::Mutex<Instant>,
}

/// The keys as they were last read.
struct KeySet {
    keys: Vec<LoadedKey>,
}

struct LoadedKey {
    key: SigningKey,
    signing: Signing,
    verifying: Verifying,
}

impl SigningKeys {
    /// Loads the keys of a database.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database cannot be reached; [`Error::SealedValueUnreadable`] if a key cannot be opened.
    pub async fn open(db: Database, sealing: KeyRing, parties: Parties) -> Result<Self> {
        let known = read(&db, &sealing).await?;
        let looked = tokio::sync::Mutex::new(Instant::now());
        Ok(Self(Arc::new(Shared { db, sealing, parties, known: RwLock::new(known), looked })))
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reloads the keys.
    ///
    /// # Errors
    /// As [`SigningKeys::open`].
    pub async fn refresh(&self) -> Result<()> {
        let known = read(&self.0.db, &self.0.sealing).await?;
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// The issuer and the audience of tokens.
    pub fn parties(&self) -> &Parties {
        &self.0.parties
    }

    /// The keys that verify now or later.
    pub fn current(&self, now: Timestamp) -> Vec<SigningKey> {
        let known = self.known();
        known.keys.iter().map(|loaded| &loaded.key).filter(|key| key.verifies(now)).cloned().collect()
    }

    /// The keys that verify now or later, as a JWK set.
    pub fn jwks(&self, now: Timestamp) -> String {
        let jwk = |key: &SigningKey| access_token::jwk(key.id, key.algorithm, &key.public_key);
        json!({ "keys": self.current(now).iter().map(jwk).collect::<Vec<_>>() }).to_string()
    }

    /// Signs claims.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`] if the clock is before the time from which the first key signs; [`Error::Internal`] if signing fails.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String> {
        let known = self.known();
        let signs = known.keys.iter().filter(|loaded| loaded.key.signs_from <= now && loaded.key.verifies(now));
        let newest = signs.max_by_key(|loaded| (loaded.key.signs_from, loaded.key.id));
        let newest = newest.ok_or(Error::NoSigningKey)?;
        newest.signing.sign(claims).ok_or_else(|| Error::internal("an access token cannot be signed"))
    }

    /// The claims of a token, if it is valid. A token with an unknown key causes a reload of the keys.
    ///
    /// # Errors
    /// As [`SigningKeys::open`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Option<Claims>> {
        let Some(id) = access_token::key_of(token) else { return Ok(None) };
        if !self.knows(id) {
            self.look_for_another().await?;
        }
        let known = self.known();
        let loaded = known.keys.iter().find(|loaded| loaded.key.id == id && loaded.key.verifies(now));
        Ok(loaded.and_then(|loaded| loaded.verifying.verify(token, &self.0.parties, now)))
    }

    /// Reloads the keys, once for all concurrent callers and rate limited.
    async fn look_for_another(&self) -> Result<()> {
        let asked = Instant::now();
        let mut looked = self.0.looked.lock().await;
        if *looked < asked {
            tokio::time::sleep_until(*looked + LEAST).await;
            let begun = Instant::now();
            self.refresh().await?;
            *looked = begun;
        }
        Ok(())
    }

    fn knows(&self, id: SigningKeyId) -> bool {
        self.known().keys.iter().any(|loaded| loaded.key.id == id)
    }
}

async fn read(db: &Database, sealing: &KeyRing) -> Result<Arc<KeySet>> {
    let keys = db.read(async |conn| conn.signing_keys().all().await).await?;
    let load = |key: SigningKey| {
        let private = sealing.open(&key.private_key, place(key.id)).map_err(Error::SealedValueUnreadable)?;
        let signing = Signing::new(key.id, key.algorithm, &private);
        let verifying = Verifying::new(key.algorithm, &key.public_key);
        Ok(LoadedKey { key, signing, verifying })
    };
    Ok(Arc::new(KeySet { keys: keys.into_iter().map(load).collect::<Result<_>>()? }))
}

/// The row and column of a sealed private key. Its owner is the service.
fn place(id: SigningKeyId) -> SealedAt<'static> {
    SealedAt { table: "cf_signing_keys", column: "private_key", row: id.0, owner: uuid::Uuid::nil() }
}

/// The rotation schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The algorithm of new keys.
    pub algorithm: SigningAlgorithm,
    /// How long a key signs; zero for no rotation by age.
    pub life: Duration,
}

/// Creates the first key or, when it is due, the next one. Deletes keys that no longer verify.
///
/// # Errors
/// [`Error::Unavailable`] if the database cannot be reached.
pub async fn keep(tx: &mut Conn, sealing: &KeyRing, schedule: Schedule, now: Timestamp) -> Result<()> {
    let keys = tx.signing_keys().lock_all().await?;
    for key in keys.iter().filter(|key| !key.verifies(now)) {
        tx.signing_keys().delete(key.id).await?;
    }
    let newest = keys.iter().filter(|key| key.verifies_until.is_none()).max_by_key(|key| key.signs_from);
    let is_due = newest.is_none_or(|key| {
        let is_old = !schedule.life.is_zero() && key.signs_from.after(schedule.life) <= now.after(LEAD);
        key.algorithm != schedule.algorithm || is_old
    });
    if is_due {
        rotate(tx, sealing, Some(schedule.algorithm), LEAD, Former::Outlive, now).await?;
    }
    Ok(())
}

/// Creates another key, by default of the algorithm of the newest one. It signs after `lead`, or at once if no key signs now or the former
/// ones stop.
///
/// # Errors
/// [`Error::Unavailable`] if the database cannot be reached.
pub async fn rotate(
    tx: &mut Conn,
    sealing: &KeyRing,
    algorithm: Option<SigningAlgorithm>,
    lead: Duration,
    former: Former,
    now: Timestamp,
) -> Result<SigningKey> {
    let keys = tx.signing_keys().lock_all().await?;
    let signs = keys.iter().any(|key| key.signs_from <= now && key.verifies(now));
    let lead = if signs && former == Former::Outlive { lead } else { Duration::ZERO };
    let signs_from = now.after(lead);
    for key in keys.iter().filter(|key| former == Former::Stop || key.verifies_until.is_none()) {
        let until = if former == Former::Stop { now } else { SigningKey::outlived_by(signs_from) };
        tx.signing_keys().end(key.id, until).await?;
    }
    let newest = keys.iter().max_by_key(|key| key.signs_from).map(|key| key.algorithm);
    let algorithm = algorithm.or(newest).unwrap_or(SigningAlgorithm::Es256);
    let pair = access_token::generate(algorithm).ok_or_else(|| Error::internal("cannot generate a signing key"))?;
    let id = random::uuid(now).into();
    let key = SigningKey {
        id,
        algorithm,
        public_key: pair.public,
        private_key: sealing.seal(&pair.private, place(id)),
        signs_from,
        verifies_until: None,
        created_at: now,
    };
    tx.signing_keys().insert(&key).await?;
    Ok(key)
}

/// Reloads the keys of this process, and rotates those of the database if they are due.
///
/// # Errors
/// [`Error::Unavailable`] if the database cannot be reached.
pub async fn maintain(app: App, schedule: Schedule) -> Result<()> {
    app.signing_keys.refresh().await?;
    let now = app.now();
    let keys = app.signing_keys.known();
    let newest = keys.keys.iter().filter(|loaded| loaded.key.verifies_until.is_none());
    let newest = newest.max_by_key(|loaded| loaded.key.signs_from);
    let is_young = newest
        .is_some_and(|loaded| schedule.life.is_zero() || loaded.key.signs_from.after(schedule.life) > now.after(LEAD));
    if is_young && keys.keys.iter().all(|loaded| loaded.key.verifies(now)) {
        return Ok(());
    }
    app.change_by_system(async |tx| keep(tx, &app.keys, schedule, now).await).await?;
    app.signing_keys.refresh().await
}
