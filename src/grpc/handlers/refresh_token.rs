//! `RefreshTokenService`.

use tonic::{Request, Response, Status};

use super::called_to_act;
use crate::{
    app::{App, refresh_token, session::IssuedSession},
    grpc::convert,
    pb::{self, refresh_token_service_server::RefreshTokenService},
};

/// Serves `RefreshTokenService`.
#[derive(Clone)]
pub struct RefreshTokenHandler {
    app: App,
}

impl RefreshTokenHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl RefreshTokenService for RefreshTokenHandler {
    async fn create_refresh_token(
        &self,
        request: Request<pb::CreateRefreshTokenRequest>,
    ) -> Result<Response<pb::CreateRefreshTokenResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::refresh_token::create(&r))?;
        let answer = |issued: IssuedSession| pb::CreateRefreshTokenResponse { session: Some(issued.into()) };
        Ok(Response::new(refresh_token::create(&self.app, &call, &new, answer).await?))
    }

    async fn rotate_refresh_token(
        &self,
        request: Request<pb::RotateRefreshTokenRequest>,
    ) -> Result<Response<pb::RotateRefreshTokenResponse>, Status> {
        let (call, token) = called_to_act(request, convert::refresh_token::rotate)?;
        let answer = |issued: IssuedSession| pb::RotateRefreshTokenResponse { session: Some(issued.into()) };
        Ok(Response::new(refresh_token::rotate(&self.app, &call, &token, answer).await?))
    }

    async fn revoke_refresh_token(
        &self,
        request: Request<pb::RevokeRefreshTokenRequest>,
    ) -> Result<Response<pb::RevokeRefreshTokenResponse>, Status> {
        let (call, token) = called_to_act(request, convert::refresh_token::revoke)?;
        let answer = |()| pb::RevokeRefreshTokenResponse {};
        Ok(Response::new(refresh_token::revoke(&self.app, &call, &token, answer).await?))
    }
}
