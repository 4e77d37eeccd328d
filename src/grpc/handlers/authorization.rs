//! `AuthorizationService`.

use tonic::{Request, Response, Status};

use super::{called_by, guards};
use crate::{
    app::App,
    db::Conn,
    error::{Error, Result},
    grpc::{convert, status},
    models::{
        ApiKeyId, Caller, Held, OrganizationState, Timestamp, UserId,
        permission::{Basis, Decision, Question, Subject},
    },
    pb::{self, authorization_service_server::AuthorizationService},
};

/// Answers `AuthorizationService`.
#[derive(Clone)]
pub struct AuthorizationHandler {
    app: App,
}

impl AuthorizationHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    async fn decide(&self, caller: &Caller, question: &Question) -> Result<Decision> {
        let now = self.app.now();
        let decide = self.app.db.read(async |conn| match question.subject {
            Subject::User(id) => of_user(conn, caller, id, question).await,
            Subject::ApiKey(id) => of_key(conn, caller, id, question, now).await,
        });
        decide.await
    }
}

/// Decides on what a user wants to do.
async fn of_user(conn: &mut Conn, caller: &Caller, id: UserId, question: &Question) -> Result<Decision> {
    let organization_id = question.organization_id;
    if let Some(standing) = conn.memberships().standing(&caller.reach(), id, organization_id).await? {
        return Ok(standing.decide(&question.permission));
    }
    // No member: of the two, what the caller does not see is not there.
    let user = guards::visible_user(conn, caller, id).await?;
    guards::visible_organization(conn, caller, organization_id).await?;
    Ok(Decision::of(match (user.is_active(), user.is_platform_admin) {
        (false, _) => Basis::UserSuspended,
        (true, true) => Basis::PlatformAdmin,
        (true, false) => Basis::NotAMember,
    }))
}

/// Decides on what is to be done with a key: what its scopes cover and its owner may do.
async fn of_key(
    conn: &mut Conn,
    caller: &Caller,
    id: ApiKeyId,
    question: &Question,
    now: Timestamp,
) -> Result<Decision> {
    let (key, _) = guards::visible_key(conn, caller, id).await?;
    let organization = guards::visible_organization(conn, caller, question.organization_id).await?;
    Ok(Decision::of(match (key.organization_id, key.user_id) {
        _ if key.revoked_at.is_some() => Basis::ApiKeyRevoked,
        _ if key.is_expired(now) => Basis::ApiKeyExpired,
        _ if !key.scopes.hold(&question.permission) => Basis::ScopeMissing,
        (_, Some(owner)) => return of_user(conn, caller, owner, question).await,
        (own, None) if own != Some(organization.id) => Basis::NotAMember,
        _ if organization.state == OrganizationState::Suspended => Basis::OrganizationSuspended,
        _ if Held::by_own_key(&key.scopes).covers(question.permission.as_str()) => Basis::OrganizationKey,
        _ => Basis::NotGiven,
    }))
}

#[tonic::async_trait]
impl AuthorizationService for AuthorizationHandler {
    async fn check_permission(
        &self,
        request: Request<pb::CheckPermissionRequest>,
    ) -> Result<Response<pb::CheckPermissionResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let question = convert::authorization::question(&request)?;
        let decision = self.decide(&caller, &question).await?;
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
                Ok(question) => self.decide(&caller, &question).await,
                Err(error) => Err(error),
            };
            let outcome = match decision {
                Ok(decision) => Outcome::Decision(decision.into()),
                Err(Error::Invalid(_)) => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
                Err(Error::NotFound(entity)) => Outcome::Error(status::not_found(entity).into()),
                // The service, not the check, is at fault.
                Err(error) => return Err(error.into()),
            };
            results.push(pb::BatchCheckPermissionsResult { outcome: Some(outcome) });
        }
        Ok(Response::new(pb::BatchCheckPermissionsResponse { results }))
    }
}
