//! `AuthorizationService`.

use tonic::{Request, Response, Status};

use super::{called_by, lists};
use crate::{
    app::{self, App},
    error::Error,
    grpc::{convert, status},
    pb::{self, authorization_service_server::AuthorizationService},
};

/// Serves `AuthorizationService`.
#[derive(Clone)]
pub struct AuthorizationHandler {
    app: App,
}

impl AuthorizationHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AuthorizationService for AuthorizationHandler {
    async fn check_permission(
        &self,
        request: Request<pb::CheckPermissionRequest>,
    ) -> Result<Response<pb::CheckPermissionResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let question = convert::authorization::question(&request)?;
        let decision = app::authorization::decide(&self.app, &caller, &question).await?;
        Ok(Response::new(pb::CheckPermissionResponse { decision: Some(decision.into()) }))
    }

    async fn batch_check_permissions(
        &self,
        request: Request<pb::BatchCheckPermissionsRequest>,
    ) -> Result<Response<pb::BatchCheckPermissionsResponse>, Status> {
        use pb::batch_check_permissions_result::Outcome;
        let (caller, request) = called_by(request)?;
        let mut results = Vec::with_capacity(request.checks.len());
        for question in convert::authorization::questions(&request)? {
            let decision = match question {
                Ok(question) => app::authorization::decide(&self.app, &caller, &question).await,
                Err(error) => Err(error),
            };
            let outcome = match decision {
                Ok(decision) => Outcome::Decision(decision.into()),
                Err(Error::Invalid(_)) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
                Err(Error::NotFound(entity)) => Outcome::Error(status::not_found(entity).into()),
                // A fault of the service, not an outcome of the check.
                Err(error) => return Err(error.into()),
            };
            results.push(pb::BatchCheckPermissionsResult { outcome: Some(outcome) });
        }
        Ok(Response::new(pb::BatchCheckPermissionsResponse { results }))
    }

    async fn list_effective_permissions(
        &self,
        request: Request<pb::ListEffectivePermissionsRequest>,
    ) -> Result<Response<pb::ListEffectivePermissionsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let (subject, organization_id) = convert::authorization::effective(&request)?;
        let allowed = app::authorization::effective(&self.app, &caller, subject, organization_id).await?;
        Ok(Response::new(allowed.into()))
    }

    async fn list_principals_with_permission(
        &self,
        request: Request<pb::ListPrincipalsWithPermissionRequest>,
    ) -> Result<Response<pb::ListPrincipalsWithPermissionResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::authorization::principals(lists, &request)?;
        let principals = app::authorization::principals(&self.app, &caller, &listing.filter, &listing.page);
        let (page, sees_keys) = principals.await?;
        let (principals, next_page_token) = listing.answer(lists, page);
        let omits_api_keys = !sees_keys;
        Ok(Response::new(pb::ListPrincipalsWithPermissionResponse { principals, next_page_token, omits_api_keys }))
    }
}
