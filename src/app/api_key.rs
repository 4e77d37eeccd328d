//! API keys.

use std::time::Duration;

use super::{App, authority, change::Answer, guards, target::Target};
use crate::{
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result},
    models::{
        Action, ApiKey, ApiKeyChanges, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Call, Caller, KeyWithUses, NewApiKey, Page,
        PageRequest, Plaintext, Principal, Reach, Timestamp, permission,
    },
    repositories::Locked,
};

/// Maximum number of revoked keys kept per owner.
const MAX_REVOKED: i64 = 1000;
/// Maximum number of the oldest revoked keys that one revocation deletes. More than one, so that the number falls again after many
/// keys were revoked at once.
const MAX_DELETED: i64 = 10;

/// A key and its new secret, which is returned only once.
pub struct IssuedKey {
    /// The key.
    pub api_key: ApiKey,
    /// The whole key in clear, with its new secret.
    pub plaintext: Plaintext,
}

/// Creates a key at `now`. A key without a rate limit gets that of the caller.
pub async fn create<A: Answer>(
    app: &App,
    call: &Call,
    new: &NewApiKey,
    now: Timestamp,
    answer: fn(IssuedKey) -> A,
) -> Result<A> {
    let caller = &call.caller;
    let (plaintext, secret) = app.secrets.mint_api_key(new.environment);
    let owner = match new.owner {
        ApiKeyOwner::User(id) => Some(id),
        ApiKeyOwner::Organization(_) => None,
    };
    let mut key = new.to_api_key(app.new_id(now), secret, caller.maker(owner), now);
    if key.rate_limit == 0 {
        // Otherwise a rate-limited caller could create keys without a limit.
        key.rate_limit = caller.rate_limit.map_or(0, i64::from);
    }
    app.change(
        call,
        async |tx| {
            if new.rate_limit != 0 {
                guards::platform_admin(caller)?;
            }
            may_create_for(tx, caller, new.owner, app.policy.max_api_keys).await?;
            authority::key(tx, caller, None, &key).await?;
            let mut key = key.clone();
            if let Principal::Organization(_) = caller.principal
                && let Some(id) = caller.api_key_id()
            {
                let source = tx.api_keys().get(&caller.reach(), id).await?;
                key.source_user_id = source.and_then(|source| source.source_user_id);
            }
            tx.api_keys().insert(&key).await?;
            Ok(IssuedKey { api_key: key, plaintext: plaintext.clone() })
        },
        answer,
    )
    .await
}

/// Gets a key by id.
pub async fn get(app: &App, caller: &Caller, id: ApiKeyId) -> Result<KeyWithUses> {
    let get = app.db.read(async |conn| {
        let (api_key, reach) = guards::visible_key(conn, caller, id).await?;
        let last_uses = conn.api_keys().last_uses(&reach, id).await?;
        Ok(KeyWithUses { api_key, last_uses })
    });
    get.await
}

/// Lists a page of the keys of an owner.
pub async fn list(app: &App, caller: &Caller, filter: &ApiKeyFilter, page: &PageRequest) -> Result<Page<KeyWithUses>> {
    let list = app.db.scan(async |conn| {
        let reach = match filter.owner {
            ApiKeyOwner::User(id) => guards::own_user(conn, caller, id).await.map(|_| caller.reach())?,
            ApiKeyOwner::Organization(id) => {
                guards::may_read(conn, caller, id, permission::READ_API_KEYS).await?;
                Reach::Organization(id)
            }
        };
        conn.api_keys().list(&reach, filter, page).await
    });
    list.await
}

/// Updates, at `now`, the fields of a key that `changes` names.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<ApiKeyId>,
    changes: &ApiKeyChanges,
    now: Timestamp,
    answer: fn(ApiKey) -> A,
) -> Result<A> {
    let caller = &call.caller;
    app.change(
        call,
        async |tx| {
            let mut key = lock(tx, caller, target.id).await?;
            if changes.rate_limit.is_some_and(|limit| limit != key.rate_limit) {
                guards::platform_admin(caller)?;
            }
            let before = ApiKey::clone(&key);
            key.apply(changes.clone())?;
            authority::key(tx, caller, Some(&before), &key).await?;
            target.check_etag(&before)?;
            is_not_revoked(&key)?;
            tx.api_keys().save(key, Action::ApiKeyUpdated, now).await
        },
        answer,
    )
    .await
}

/// Gives a key a new secret. The former one stays valid for `overlap`.
pub async fn rotate<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<ApiKeyId>,
    overlap: Duration,
    answer: fn(IssuedKey) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let mut key = lock(tx, caller, target.id).await?;
            // The caller receives the secret, so it must hold all that the key allows.
            authority::key(tx, caller, None, &key).await?;
            target.check_etag(&*key)?;
            is_not_revoked(&key)?;
            let (plaintext, secret) = app.secrets.mint_api_key(key.environment);
            key.rotate(secret, overlap, now);
            let api_key = tx.api_keys().save_rotated(key, now).await?;
            Ok(IssuedKey { api_key, plaintext })
        },
        answer,
    )
    .await
}

/// Revokes a key. An already revoked key is left unchanged.
pub async fn revoke<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<ApiKeyId>,
    reason: Option<&String>,
    answer: fn(ApiKey) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    authority::current_secret(caller)?;
    app.change(
        call,
        async |tx| {
            let key = lock_to_end(tx, caller, target).await?;
            revoke_locked(tx, key, reason, now).await
        },
        answer,
    )
    .await
}

/// Disables a key. An already disabled key is left unchanged.
pub async fn disable<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<ApiKeyId>,
    answer: fn(ApiKey) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    authority::current_secret(caller)?;
    app.change(
        call,
        async |tx| {
            let mut key = lock_to_end(tx, caller, target).await?;
            is_not_revoked(&key)?;
            if key.disabled_at.is_some() {
                return Ok(key.into_inner());
            }
            key.disabled_at = Some(now);
            tx.api_keys().save(key, Action::ApiKeyDisabled, now).await
        },
        answer,
    )
    .await
}

/// Enables a disabled key, for which the caller must hold all that the key allows. An enabled key is left unchanged.
pub async fn enable<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<ApiKeyId>,
    answer: fn(ApiKey) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let mut key = lock(tx, caller, target.id).await?;
            authority::key(tx, caller, None, &key).await?;
            target.check_etag(&*key)?;
            is_not_revoked(&key)?;
            if key.disabled_at.take().is_none() {
                return Ok(key.into_inner());
            }
            tx.api_keys().save(key, Action::ApiKeyEnabled, now).await
        },
        answer,
    )
    .await
}

/// Revokes the key that the caller presented.
pub async fn revoke_own<A: Answer>(
    app: &App,
    call: &Call,
    reason: Option<&String>,
    answer: fn(ApiKey) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let id = guards::api_key(caller)?;
    app.change(
        call,
        async |tx| {
            let key = find(tx.api_keys().lock(&caller.reach(), id).await?)?;
            revoke_locked(tx, key, reason, now).await
        },
        answer,
    )
    .await
}

fn find<T>(key: Option<T>) -> Result<T> {
    key.ok_or(Error::NotFound(Entity::ApiKey))
}

/// Refuses to change a revoked key.
fn is_not_revoked(key: &ApiKey) -> Result<()> {
    match key.revoked_at {
        None => Ok(()),
        Some(_) => Err(Error::Precondition(Precondition::ApiKeyRevoked)),
    }
}

/// Refuses an owner that the caller does not see, whose keys the caller may not create, that is suspended, or that already has `most`
/// keys. Locks the owner.
async fn may_create_for(tx: &mut Conn, caller: &Caller, owner: ApiKeyOwner, most: u32) -> Result<()> {
    match owner {
        ApiKeyOwner::User(id) => {
            let user = guards::lock_user(tx, caller, id).await?;
            guards::is_own(caller, id)?;
            guards::active_user(&user)?;
            guards::has_room(Limit::ApiKeys, most, tx.api_keys().count_of_user(&user)).await
        }
        ApiKeyOwner::Organization(id) => {
            let organization = guards::lock_organization(tx, caller, id).await?;
            guards::may_change(tx, caller, &organization, permission::WRITE_API_KEYS).await?;
            guards::active_organization(&organization)?;
            guards::has_room(Limit::ApiKeys, most, tx.api_keys().count_of_organization(&organization)).await
        }
    }
}

/// Locks a key that the caller may see.
async fn lock(tx: &mut Conn, caller: &Caller, id: ApiKeyId) -> Result<Locked<ApiKey>> {
    let (_, reach) = guards::visible_key(tx, caller, id).await?;
    find(tx.api_keys().lock(&reach, id).await?)
}

/// Locks a key that the caller may revoke or disable.
async fn lock_to_end(tx: &mut Conn, caller: &Caller, target: &Target<ApiKeyId>) -> Result<Locked<ApiKey>> {
    let key = lock(tx, caller, target.id).await?;
    if let Some(id) = key.organization_id {
        guards::may(tx, caller, id, permission::WRITE_API_KEYS).await?;
    }
    target.check_etag(&*key)?;
    Ok(key)
}

/// Revokes a locked key unless it is already revoked, and deletes the oldest revoked keys of its owner beyond [`MAX_REVOKED`].
async fn revoke_locked(
    tx: &mut Conn,
    mut key: Locked<ApiKey>,
    reason: Option<&String>,
    now: Timestamp,
) -> Result<ApiKey> {
    if key.revoked_at.is_some() {
        return Ok(key.into_inner());
    }
    key.revoked_at = Some(now);
    key.revoked_reason = reason.cloned();
    let key = tx.api_keys().save(key, Action::ApiKeyRevoked, now).await?;
    if let Some(owner) = key.organization_id.map(ApiKeyOwner::Organization).or(key.user_id.map(ApiKeyOwner::User)) {
        tx.api_keys().delete_oldest_revoked(owner, MAX_REVOKED, MAX_DELETED).await?;
    }
    Ok(key)
}
