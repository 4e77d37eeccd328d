//! `AuthenticationService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act};
use crate::{
    app::{
        App,
        authentication::{
            self, SignedIn, SignedUp, email,
            one_time_token::IssuedToken,
            password::{self, Revocations},
            password_reset,
        },
        session::IssuedSession,
    },
    grpc::convert,
    models::User,
    pb::{self, authentication_service_server::AuthenticationService},
};

/// Serves `AuthenticationService`.
#[derive(Clone)]
pub struct AuthenticationHandler {
    app: App,
}

impl AuthenticationHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl AuthenticationService for AuthenticationHandler {
    async fn sign_up(&self, request: Request<pb::SignUpRequest>) -> Result<Response<pb::SignUpResponse>, Status> {
        let (call, new) = called_to_act(request, convert::authentication::sign_up)?;
        let answer = |signed_up: SignedUp| pb::SignUpResponse {
            user: Some(signed_up.user.into()),
            organization: signed_up.organization.map(Into::into),
        };
        Ok(Response::new(authentication::sign_up(&self.app, &call, new, answer).await?))
    }

    async fn sign_in(&self, request: Request<pb::SignInRequest>) -> Result<Response<pb::SignInResponse>, Status> {
        let (call, asked) = called_to_act(request, convert::authentication::sign_in)?;
        let answer = |signed_in: SignedIn| pb::SignInResponse {
            user: Some(signed_in.user.into()),
            result: Some(pb::sign_in_response::Result::Session(signed_in.session.into())),
        };
        Ok(Response::new(authentication::sign_in(&self.app, &call, asked, answer).await?))
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Result<Response<pb::RefreshResponse>, Status> {
        let (call, (token, organization)) = called_to_act(request, convert::authentication::refresh)?;
        let answer = |refreshed: IssuedSession| pb::RefreshResponse {
            result: Some(pb::refresh_response::Result::Session(refreshed.into())),
        };
        Ok(Response::new(authentication::refresh(&self.app, &call, &token, organization, answer).await?))
    }

    async fn sign_out(&self, request: Request<pb::SignOutRequest>) -> Result<Response<pb::SignOutResponse>, Status> {
        let (call, (token, all_sessions)) = called_to_act(request, convert::authentication::sign_out)?;
        let answer = |ended_sessions| pb::SignOutResponse { ended_sessions };
        Ok(Response::new(authentication::sign_out(&self.app, &call, token.as_ref(), all_sessions, answer).await?))
    }

    async fn verify_password(
        &self,
        request: Request<pb::VerifyPasswordRequest>,
    ) -> Result<Response<pb::VerifyPasswordResponse>, Status> {
        let (call, presented) = called_to_act(request, convert::authentication::verify_password)?;
        let answer = |()| pb::VerifyPasswordResponse {};
        Ok(Response::new(password::verify(&self.app, &call, presented, answer).await?))
    }

    async fn set_password(
        &self,
        request: Request<pb::SetPasswordRequest>,
    ) -> Result<Response<pb::SetPasswordResponse>, Status> {
        let (call, (user_id, password)) = called_to_act(request, convert::authentication::set_password)?;
        let answer = |()| pb::SetPasswordResponse {};
        Ok(Response::new(password::set(&self.app, &call, user_id, password, answer).await?))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let (call, change) = called_to_act(request, convert::authentication::change_password)?;
        let answer = |ended: Revocations| pb::ChangePasswordResponse {
            ended_sessions: ended.sessions,
            revoked_api_keys: ended.api_keys,
        };
        Ok(Response::new(password::change(&self.app, &call, change, answer).await?))
    }

    async fn import_password_hash(
        &self,
        request: Request<pb::ImportPasswordHashRequest>,
    ) -> Result<Response<pb::ImportPasswordHashResponse>, Status> {
        let parse = |request| convert::authentication::import_password_hash(request, &self.app.hashing);
        let (call, (user_id, imported)) = called_to_act(request, parse)?;
        let answer = |format: &'static str| pb::ImportPasswordHashResponse { format: format.to_owned() };
        Ok(Response::new(password::import_hash(&self.app, &call, user_id, imported, answer).await?))
    }

    async fn remove_password(
        &self,
        request: Request<pb::RemovePasswordRequest>,
    ) -> Result<Response<pb::RemovePasswordResponse>, Status> {
        let (call, user_id) = called_to_act(request, |r| convert::id_of("user_id", &r.user_id))?;
        let answer = |()| pb::RemovePasswordResponse {};
        Ok(Response::new(password::remove(&self.app, &call, user_id, answer).await?))
    }

    async fn start_email_verification(
        &self,
        request: Request<pb::StartEmailVerificationRequest>,
    ) -> Result<Response<pb::StartEmailVerificationResponse>, Status> {
        let (call, user_id) = called_to_act(request, |r| convert::id_of("user_id", &r.user_id))?;
        let answer = |issued: IssuedToken| pb::StartEmailVerificationResponse {
            email: issued.token.email.as_str().to_owned(),
            plaintext_token: issued.plaintext.expose().to_owned(),
            expires_at: Some(convert::time(issued.token.expires_at)),
        };
        Ok(Response::new(email::start_verification(&self.app, &call, user_id, answer).await?))
    }

    async fn confirm_email_verification(
        &self,
        request: Request<pb::ConfirmEmailVerificationRequest>,
    ) -> Result<Response<pb::ConfirmEmailVerificationResponse>, Status> {
        let (call, (token, access_token)) =
            called_to_act(request, |r| Ok((convert::authentication::mailed(r.plaintext_token)?, r.access_token)))?;
        let answer = |verified: User| pb::ConfirmEmailVerificationResponse { user: Some(verified.into()) };
        Ok(Response::new(email::confirm_verification(&self.app, &call, &token, &access_token, answer).await?))
    }

    async fn start_password_reset(
        &self,
        request: Request<pb::StartPasswordResetRequest>,
    ) -> Result<Response<pb::StartPasswordResetResponse>, Status> {
        let (call, email) = called_to_act(request, |r| convert::authentication::start_password_reset(&r))?;
        let answer = |issued: Option<(User, IssuedToken)>| match issued {
            None => pb::StartPasswordResetResponse::default(),
            Some((user, issued)) => pb::StartPasswordResetResponse {
                email: issued.token.email.as_str().to_owned(),
                user: Some(user.into()),
                plaintext_token: issued.plaintext.expose().to_owned(),
                expires_at: Some(convert::time(issued.token.expires_at)),
            },
        };
        Ok(Response::new(password_reset::start(&self.app, &call, &email, answer).await?))
    }

    async fn confirm_password_reset(
        &self,
        request: Request<pb::ConfirmPasswordResetRequest>,
    ) -> Result<Response<pb::ConfirmPasswordResetResponse>, Status> {
        let (call, reset) = called_to_act(request, convert::authentication::confirm_password_reset)?;
        let answer = |(user, ended): (User, Revocations)| pb::ConfirmPasswordResetResponse {
            user: Some(user.into()),
            ended_sessions: ended.sessions,
            revoked_api_keys: ended.api_keys,
        };
        Ok(Response::new(password_reset::confirm(&self.app, &call, reset, answer).await?))
    }

    async fn start_email_change(
        &self,
        request: Request<pb::StartEmailChangeRequest>,
    ) -> Result<Response<pb::StartEmailChangeResponse>, Status> {
        let (call, (user_id, email)) = called_to_act(request, |r| convert::authentication::start_email_change(&r))?;
        let answer = |issued: IssuedToken| pb::StartEmailChangeResponse {
            email: issued.token.email.as_str().to_owned(),
            plaintext_token: issued.plaintext.expose().to_owned(),
            expires_at: Some(convert::time(issued.token.expires_at)),
        };
        Ok(Response::new(email::start_change(&self.app, &call, user_id, &email, answer).await?))
    }

    async fn confirm_email_change(
        &self,
        request: Request<pb::ConfirmEmailChangeRequest>,
    ) -> Result<Response<pb::ConfirmEmailChangeResponse>, Status> {
        let (call, (token, access_token)) =
            called_to_act(request, |r| Ok((convert::authentication::mailed(r.plaintext_token)?, r.access_token)))?;
        let answer = |(user, former_email): (User, String)| pb::ConfirmEmailChangeResponse {
            user: Some(user.into()),
            former_email,
        };
        Ok(Response::new(email::confirm_change(&self.app, &call, &token, &access_token, answer).await?))
    }

    async fn get_signing_keys(
        &self,
        request: Request<pb::GetSigningKeysRequest>,
    ) -> Result<Response<pb::GetSigningKeysResponse>, Status> {
        called_by(request)?;
        let published = authentication::signing_keys(&self.app);
        let signing_keys = published.keys.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::GetSigningKeysResponse { jwks: published.jwks, signing_keys }))
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let token = convert::authentication::introspect_token(request)?;
        let claims = authentication::introspect(&self.app, &caller, &token).await?;
        Ok(Response::new(claims.map(Into::into).unwrap_or_default()))
    }
}
