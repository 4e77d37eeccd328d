//! `RefreshTokenService`.

use tonic::{Request, Response, Status};

use super::{
    authority, called_by, called_to_act, ending, guards, lists,
    session::{self, Going},
};
use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Result},
    grpc::convert::{self, refresh_token::RefreshTokenKey},
    models::{Caller, Locked, RevokedReason, User, UserId},
    pb::{self, refresh_token_service_server::RefreshTokenService},
};

/// Answers `RefreshTokenService`.
#[derive(Clone)]
pub struct RefreshTokenHandler {
    app: App,
}

impl RefreshTokenHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

/// Locks a user, so that none of its sessions begins meanwhile, and refuses a caller that can see it but is neither that user nor a platform
/// admin.
async fn lock_own(tx: &mut Conn, caller: &Caller, id: UserId) -> Result<Locked<User>> {
    let user = tx.users().lock(&caller.reach(), id).await?.ok_or(Error::NotFound(Entity::User))?;
    guards::is_own(caller, id)?;
    Ok(user)
}

#[tonic::async_trait]
impl RefreshTokenService for RefreshTokenHandler {
    async fn create_refresh_token(
        &self,
        request: Request<pb::CreateRefreshTokenRequest>,
    ) -> Result<Response<pb::CreateRefreshTokenResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::refresh_token::create(&r))?;
        let now = self.app.now();
        let (session, plaintext) = session::first_token(&self.app, &call, &new, now);
        let create = self.app.change(&call, async |tx| {
            let user = lock_own(tx, &call.caller, new.user_id).await?;
            guards::active_user(&user)?;
            authority::session(tx, &call.caller, &user)?;
            session::begin(&self.app, tx, &user, &session, now).await?;
            Ok(pb::CreateRefreshTokenResponse {
                refresh_token: Some(session.clone().into()),
                plaintext_token: plaintext.expose().to_owned(),
            })
        });
        Ok(Response::new(create.await?))
    }

    async fn list_refresh_tokens(
        &self,
        request: Request<pb::ListRefreshTokensRequest>,
    ) -> Result<Response<pb::ListRefreshTokensResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::refresh_token::list(lists, &request)?;
        let now = self.app.now();
        let page = self.app.db.scan(async |conn| {
            let user = guards::own_user(conn, &caller, listing.filter).await?;
            conn.refresh_tokens().list_live(&caller.reach(), user.id, now, &listing.page).await
        });
        let page = page.await?;
        let (refresh_tokens, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListRefreshTokensResponse { refresh_tokens, next_page_token }))
    }

    async fn rotate_refresh_token(
        &self,
        request: Request<pb::RotateRefreshTokenRequest>,
    ) -> Result<Response<pb::RotateRefreshTokenResponse>, Status> {
        let (call, presented) = called_to_act(request, convert::refresh_token::rotate)?;
        let now = self.app.now();
        let going = &Going::new(&call, &presented, None);
        let as_read = &session::read(&self.app, going, now).await?;
        let rotate = self.app.change_or_refuse(&call, async |tx| {
            authority::proven_session(tx);
            let told = session::go_on(&self.app, tx, going, as_read, now).await?;
            Ok(told.ok_or_else(session::rejected).map(|told| pb::RotateRefreshTokenResponse {
                refresh_token: Some(told.session.into()),
                plaintext_token: told.plaintext.expose().to_owned(),
            }))
        });
        Ok(Response::new(rotate.await?))
    }

    async fn revoke_refresh_token(
        &self,
        request: Request<pb::RevokeRefreshTokenRequest>,
    ) -> Result<Response<pb::RevokeRefreshTokenResponse>, Status> {
        let (call, key) = called_to_act(request, convert::refresh_token::revoke)?;
        let (caller, now) = (&call.caller, self.app.now());
        let revoke = self.app.change(&call, async |tx| {
            let session = match &key {
                RefreshTokenKey::Id(id) => tx.refresh_tokens().get(&caller.reach(), *id).await?,
                RefreshTokenKey::Secret(secret) => session::of_token(&self.app, tx, &caller.reach(), secret).await?,
            };
            let session = session.ok_or(Error::NotFound(Entity::RefreshToken))?;
            tx.refresh_tokens().end(&session, RevokedReason::Revoked, now).await?;
            Ok(pb::RevokeRefreshTokenResponse {})
        });
        Ok(Response::new(revoke.await?))
    }

    async fn revoke_all_refresh_tokens(
        &self,
        request: Request<pb::RevokeAllRefreshTokensRequest>,
    ) -> Result<Response<pb::RevokeAllRefreshTokensResponse>, Status> {
        let (call, (user_id, except)) = called_to_act(request, |r| convert::refresh_token::revoke_all(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let revoke = self.app.change(&call, async |tx| {
            let user = lock_own(tx, caller, user_id).await?;
            ending::mailed_tokens(tx, &user).await?;
            let revoked = tx.refresh_tokens().end_of_user(user.id, except, RevokedReason::RevokedAll, now).await?;
            Ok(pb::RevokeAllRefreshTokensResponse { revoked_sessions: i64::try_from(revoked).unwrap_or(i64::MAX) })
        });
        Ok(Response::new(revoke.await?))
    }
}
