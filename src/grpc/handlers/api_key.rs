//! `ApiKeyService`.

use tonic::{Request, Response, Status, Streaming};

use super::{called_by, called_to_act, lists, scope_of, verify_stream::VerifyStream};
use crate::{
    app::{self, App, api_key::IssuedKey, verification::Verifier},
    grpc::convert,
    models::ApiKeyId,
    pb::{self, api_key_service_server::ApiKeyService},
};

/// Maximum size of all keys in the response to a batch of verifications, in bytes.
const MAX_BATCH_BYTES: usize = 3 << 20;

/// Serves `ApiKeyService`.
#[derive(Clone)]
pub struct ApiKeyHandler {
    app: App,
}

impl ApiKeyHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeyHandler {
    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let now = self.app.now();
        let (call, new) = called_to_act(request, |r| convert::api_key::create(r, now))?;
        let answer = |issued: IssuedKey| pb::CreateApiKeyResponse {
            api_key: Some(issued.api_key.into()),
            plaintext_key: issued.plaintext.expose().to_owned(),
        };
        Ok(Response::new(app::api_key::create(&self.app, &call, &new, now, answer).await?))
    }

    async fn get_api_key(
        &self,
        request: Request<pb::GetApiKeyRequest>,
    ) -> Result<Response<pb::GetApiKeyResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("api_key_id", &request.api_key_id)?;
        let found = app::api_key::get(&self.app, &caller, id).await?;
        let secrets = convert::api_key::secrets(&found);
        Ok(Response::new(pb::GetApiKeyResponse { api_key: Some(found.into()), secrets }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::api_key::list(lists, &request)?;
        let page = app::api_key::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (api_keys, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn update_api_key(
        &self,
        request: Request<pb::UpdateApiKeyRequest>,
    ) -> Result<Response<pb::UpdateApiKeyResponse>, Status> {
        let now = self.app.now();
        let (call, (target, changes)) = called_to_act(request, |r| convert::api_key::update(r, now))?;
        let answer = |updated| pb::UpdateApiKeyResponse { api_key: Some(pb::ApiKey::from(updated)) };
        Ok(Response::new(app::api_key::update(&self.app, &call, &target, &changes, now, answer).await?))
    }

    async fn rotate_api_key(
        &self,
        request: Request<pb::RotateApiKeyRequest>,
    ) -> Result<Response<pb::RotateApiKeyResponse>, Status> {
        let (call, (target, overlap)) = called_to_act(request, convert::api_key::rotate)?;
        let answer = |issued: IssuedKey| pb::RotateApiKeyResponse {
            api_key: Some(issued.api_key.into()),
            plaintext_key: issued.plaintext.expose().to_owned(),
        };
        Ok(Response::new(app::api_key::rotate(&self.app, &call, &target, overlap, answer).await?))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let (call, (target, reason)) = called_to_act(request, convert::api_key::revoke)?;
        let answer = |revoked| pb::RevokeApiKeyResponse { api_key: Some(pb::ApiKey::from(revoked)) };
        Ok(Response::new(app::api_key::revoke(&self.app, &call, &target, reason.as_ref(), answer).await?))
    }

    async fn disable_api_key(
        &self,
        request: Request<pb::DisableApiKeyRequest>,
    ) -> Result<Response<pb::DisableApiKeyResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<ApiKeyId>("api_key_id", &r.api_key_id, r.etag))?;
        let answer = |disabled| pb::DisableApiKeyResponse { api_key: Some(pb::ApiKey::from(disabled)) };
        Ok(Response::new(app::api_key::disable(&self.app, &call, &target, answer).await?))
    }

    async fn enable_api_key(
        &self,
        request: Request<pb::EnableApiKeyRequest>,
    ) -> Result<Response<pb::EnableApiKeyResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<ApiKeyId>("api_key_id", &r.api_key_id, r.etag))?;
        let answer = |enabled| pb::EnableApiKeyResponse { api_key: Some(pb::ApiKey::from(enabled)) };
        Ok(Response::new(app::api_key::enable(&self.app, &call, &target, answer).await?))
    }

    async fn revoke_own_api_key(
        &self,
        request: Request<pb::RevokeOwnApiKeyRequest>,
    ) -> Result<Response<pb::RevokeOwnApiKeyResponse>, Status> {
        let (call, reason) = called_to_act(request, |r| convert::api_key::revoke_own(&r))?;
        let answer = |revoked| pb::RevokeOwnApiKeyResponse { api_key: Some(pb::ApiKey::from(revoked)) };
        Ok(Response::new(app::api_key::revoke_own(&self.app, &call, reason.as_ref(), answer).await?))
    }

    async fn verify_api_key(
        &self,
        request: Request<pb::VerifyApiKeyRequest>,
    ) -> Result<Response<pb::VerifyApiKeyResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let question = convert::api_key::only_question(request.question, &self.app.secrets)?;
        let verification = Verifier::new(self.app.clone(), caller).verify(&question).await?;
        let verification = Some(convert::api_key::verification(&verification, self.app.now()));
        Ok(Response::new(pb::VerifyApiKeyResponse { verification }))
    }

    async fn batch_verify_api_keys(
        &self,
        request: Request<pb::BatchVerifyApiKeysRequest>,
    ) -> Result<Response<pb::BatchVerifyApiKeysResponse>, Status> {
        use pb::batch_verify_api_keys_result::Outcome;
        let (caller, request) = called_by(request)?;
        let questions = convert::api_key::questions(request, &self.app.secrets)?;
        let verifier = Verifier::new(self.app.clone(), caller);
        let mut room = MAX_BATCH_BYTES;
        let mut results = Vec::with_capacity(questions.len());
        for question in questions {
            let outcome = match question {
                Err(_) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
                Ok(question) => {
                    let verification = verifier.verify(&question).await?;
                    let mut verification = convert::api_key::verification(&verification, self.app.now());
                    match room.checked_sub(verification.api_key.len()) {
                        Some(left) => room = left,
                        None => verification.api_key.clear(),
                    }
                    Outcome::Verification(verification)
                }
            };
            results.push(pb::BatchVerifyApiKeysResult { outcome: Some(outcome) });
        }
        Ok(Response::new(pb::BatchVerifyApiKeysResponse { results }))
    }

    type VerifyStreamStream = VerifyStream;

    async fn verify_stream(
        &self,
        request: Request<Streaming<pb::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        let scope = scope_of(&request)?;
        let (caller, questions) = called_by(request)?;
        Ok(Response::new(VerifyStream::new(&self.app, caller, scope, questions)?))
    }
}
