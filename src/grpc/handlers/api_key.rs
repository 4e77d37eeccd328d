//! `ApiKeyService`.

use tonic::{Request, Response, Status, Streaming};

use super::{
    authority, called_by, called_to_act, guards, lists, scope_of, verification::Verifier, verify_stream::Answers,
};
use crate::{
    app::App,
    db::Conn,
    error::{Denial, Entity, Error, Limit, Precondition, Result},
    grpc::convert,
    models::{Action, ApiKey, ApiKeyId, ApiKeyOwner, Caller, Locked, Reach, Timestamp, permission},
    pb::{self, api_key_service_server::ApiKeyService},
    security::token::mint_api_key,
};

/// Most revoked keys of an owner that are kept.
const MAX_REVOKED: i64 = 1000;
/// Most of them that one revocation deletes: more than one, should many have been revoked at once.
const MAX_DELETED: i64 = 10;

/// Most bytes of the keys that a batch of verifications tells.
const MAX_BATCH_BYTES: usize = 3 << 20;

/// Answers `ApiKeyService`.
#[derive(Clone)]
pub struct ApiKeyHandler {
    app: App,
}

impl ApiKeyHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

fn find<T>(key: Option<T>) -> Result<T> {
    key.ok_or(Error::NotFound(Entity::ApiKey))
}

/// Refuses whoever is no platform admin to say how often a key may call.
fn may_limit(caller: &Caller) -> Result<()> {
    if caller.is_platform_admin() { Ok(()) } else { Err(Error::Denied(Denial::NotPlatformAdmin)) }
}

/// Refuses to change what is revoked.
fn is_in_force(key: &ApiKey) -> Result<()> {
    match key.revoked_at {
        None => Ok(()),
        Some(_) => Err(Error::Precondition(Precondition::ApiKeyRevoked)),
    }
}

/// Refuses an owner that the caller does not see, whose keys it may not make, that is suspended, or that has as many as it may.
async fn may_make_for(tx: &mut Conn, caller: &Caller, owner: ApiKeyOwner, most: u32) -> Result<()> {
    match owner {
        ApiKeyOwner::User(id) => {
            let user = tx.users().lock(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::User))?;
            guards::is_own(caller, id)?;
            guards::active_user(&user)?;
            guards::has_room(Limit::ApiKeys, most, tx.api_keys().count_of_user(&user)).await
        }
        ApiKeyOwner::Organization(id) => {
            let organization = tx.organizations().lock(&caller.reach(), id).await?;
            let organization = organization.ok_or(Error::NotFound(Entity::Organization))?;
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

/// Revokes a locked key, unless it is.
async fn revoke(tx: &mut Conn, mut key: Locked<ApiKey>, reason: Option<&String>, now: Timestamp) -> Result<ApiKey> {
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

#[tonic::async_trait]
impl ApiKeyService for ApiKeyHandler {
    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let now = self.app.now();
        let (call, new) = called_to_act(request, |r| convert::api_key::create(r, now))?;
        let caller = &call.caller;
        let (plaintext, secret) = mint_api_key(new.environment);
        let owner = match new.owner {
            ApiKeyOwner::User(id) => Some(id),
            ApiKeyOwner::Organization(_) => None,
        };
        let mut key = new.to_api_key(self.app.new_id(now), secret, caller.maker(owner), now);
        if key.rate_limit == 0 {
            // Otherwise whoever is held to a limit would make itself keys that are not.
            key.rate_limit = caller.rate_limit.map_or(0, i64::from);
        }
        let create = self.app.change(&call, async |tx| {
            if new.rate_limit != 0 {
                may_limit(caller)?;
            }
            may_make_for(tx, caller, new.owner, self.app.policy.max_api_keys).await?;
            authority::key(tx, caller, None, &key).await?;
            tx.api_keys().insert(&key).await?;
            Ok(pb::CreateApiKeyResponse {
                api_key: Some(key.clone().into()),
                plaintext_key: plaintext.expose().to_owned(),
            })
        });
        Ok(Response::new(create.await?))
    }

    async fn get_api_key(
        &self,
        request: Request<pb::GetApiKeyRequest>,
    ) -> Result<Response<pb::GetApiKeyResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("api_key_id", &request.api_key_id)?;
        let get = self.app.db.read(async |conn| {
            let (key, reach) = guards::visible_key(conn, &caller, id).await?;
            let uses = conn.api_keys().last_uses(&reach, id).await?;
            Ok((key, uses))
        });
        let (key, uses) = get.await?;
        let secrets = convert::api_key::secrets(&key, uses);
        Ok(Response::new(pb::GetApiKeyResponse { api_key: Some(key.into()), secrets }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::api_key::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            let reach = match listing.filter.owner {
                ApiKeyOwner::User(id) => guards::own_user(conn, &caller, id).await.map(|_| caller.reach())?,
                ApiKeyOwner::Organization(id) => {
                    guards::visible_organization(conn, &caller, id).await?;
                    guards::may(conn, &caller, id, permission::READ_API_KEYS).await?;
                    Reach::Organization(id)
                }
            };
            conn.api_keys().list(&reach, &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (api_keys, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn update_api_key(
        &self,
        request: Request<pb::UpdateApiKeyRequest>,
    ) -> Result<Response<pb::UpdateApiKeyResponse>, Status> {
        let now = self.app.now();
        let (call, (target, changes)) = called_to_act(request, |r| convert::api_key::update(r, now))?;
        let caller = &call.caller;
        let update = self.app.change(&call, async |tx| {
            let mut key = lock(tx, caller, target.id).await?;
            if changes.rate_limit.is_some_and(|limit| limit != key.rate_limit) {
                may_limit(caller)?;
            }
            let before = ApiKey::clone(&key);
            key.apply(changes.clone());
            authority::key(tx, caller, Some(&before), &key).await?;
            target.check_etag(&before)?;
            is_in_force(&key)?;
            let key = tx.api_keys().save(key, Action::ApiKeyUpdated, now).await?;
            Ok(pb::UpdateApiKeyResponse { api_key: Some(key.into()) })
        });
        Ok(Response::new(update.await?))
    }

    async fn rotate_api_key(
        &self,
        request: Request<pb::RotateApiKeyRequest>,
    ) -> Result<Response<pb::RotateApiKeyResponse>, Status> {
        let (call, (target, overlap)) = called_to_act(request, convert::api_key::rotate)?;
        let (caller, now) = (&call.caller, self.app.now());
        let rotate = self.app.change(&call, async |tx| {
            let mut key = lock(tx, caller, target.id).await?;
            // Whoever is told a secret can do what the key can.
            authority::key(tx, caller, None, &key).await?;
            target.check_etag(&*key)?;
            is_in_force(&key)?;
            let (plaintext, secret) = mint_api_key(key.environment);
            key.rotate(secret, overlap, now);
            let key = tx.api_keys().save_rotated(key, now).await?;
            Ok(pb::RotateApiKeyResponse { api_key: Some(key.into()), plaintext_key: plaintext.expose().to_owned() })
        });
        Ok(Response::new(rotate.await?))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let (call, (target, reason)) = called_to_act(request, convert::api_key::revoke)?;
        let now = self.app.now();
        authority::current_secret(&call.caller)?;
        let revoked = self.app.change(&call, async |tx| {
            let key = lock(tx, &call.caller, target.id).await?;
            if let Some(id) = key.organization_id {
                guards::may(tx, &call.caller, id, permission::WRITE_API_KEYS).await?;
            }
            target.check_etag(&*key)?;
            let key = revoke(tx, key, reason.as_ref(), now).await?;
            Ok(pb::RevokeApiKeyResponse { api_key: Some(key.into()) })
        });
        Ok(Response::new(revoked.await?))
    }

    async fn revoke_own_api_key(
        &self,
        request: Request<pb::RevokeOwnApiKeyRequest>,
    ) -> Result<Response<pb::RevokeOwnApiKeyResponse>, Status> {
        let (call, reason) = called_to_act(request, |r| convert::api_key::revoke_own(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let id = guards::api_key(caller)?;
        let revoked = self.app.change(&call, async |tx| {
            let key = find(tx.api_keys().lock(&caller.reach(), id).await?)?;
            let key = revoke(tx, key, reason.as_ref(), now).await?;
            Ok(pb::RevokeOwnApiKeyResponse { api_key: Some(key.into()) })
        });
        Ok(Response::new(revoked.await?))
    }

    async fn verify_api_key(
        &self,
        request: Request<pb::VerifyApiKeyRequest>,
    ) -> Result<Response<pb::VerifyApiKeyResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let question = convert::api_key::question(pb::ApiKeyQuestion {
            plaintext_key: request.plaintext_key,
            required_scope: request.required_scope,
            ip_address: request.ip_address,
        })?;
        let verifier = Verifier::new(self.app.clone(), caller);
        let pb::ApiKeyVerification { verdict, api_key, valid_until, ends_at } =
            verifier.wire(&verifier.verify(&question).await?);
        Ok(Response::new(pb::VerifyApiKeyResponse { verdict, api_key, valid_until, ends_at }))
    }

    async fn batch_verify_api_keys(
        &self,
        request: Request<pb::BatchVerifyApiKeysRequest>,
    ) -> Result<Response<pb::BatchVerifyApiKeysResponse>, Status> {
        use pb::batch_verify_api_keys_result::Outcome;
        let (caller, request) = called_by(request)?;
        let questions = convert::api_key::questions(request)?;
        let verifier = Verifier::new(self.app.clone(), caller);
        let mut room = MAX_BATCH_BYTES;
        let mut results = Vec::with_capacity(questions.len());
        for question in questions {
            let outcome = match question {
                Err(_) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
                Ok(question) => {
                    let mut told = verifier.wire(&verifier.verify(&question).await?);
                    match room.checked_sub(told.api_key.len()) {
                        Some(left) => room = left,
                        None => told.api_key.clear(),
                    }
                    Outcome::Verification(told)
                }
            };
            results.push(pb::BatchVerifyApiKeysResult { outcome: Some(outcome) });
        }
        Ok(Response::new(pb::BatchVerifyApiKeysResponse { results }))
    }

    type VerifyStreamStream = Answers;

    async fn verify_stream(
        &self,
        request: Request<Streaming<pb::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        let scope = scope_of(&request)?;
        let (caller, questions) = called_by(request)?;
        Ok(Response::new(Answers::new(&self.app, caller, scope, questions)?))
    }
}
