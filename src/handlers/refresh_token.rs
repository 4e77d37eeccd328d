//! `RefreshTokenService`.

use std::sync::{Mutex, PoisonError};

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, guards, lists};
use crate::{
    context::App,
    convert::{self, refresh_token::RefreshTokenKey},
    db::Conn,
    error::{Entity, Error, Precondition, Result},
    models::{Plaintext, Reach, RefreshToken, RefreshTokenId, RevokedReason, Sealed, SecretHash, Timestamp},
    pb::{self, refresh_token_service_server::RefreshTokenService},
    repositories::Presented,
    security::{
        sealing::Place,
        token::{mint_refresh_token, read_refresh_token},
    },
};

/// Answers `RefreshTokenService`.
#[derive(Clone)]
pub struct RefreshTokenHandler {
    app: App,
}

/// A token that may be answered: the row, and the secret that is told once.
type Told = (RefreshToken, Plaintext);

impl RefreshTokenHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Trades a presented token for its successor. `None` for one that cannot be used; what that changed, such as the
    /// end of a family whose token came twice, is to be committed.
    async fn rotate(
        &self,
        tx: &mut Conn,
        reach: &Reach,
        id: RefreshTokenId,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Option<Told>> {
        let Some(presented) = tx.refresh_tokens().get_presented(reach, id, hash).await? else { return Ok(None) };
        if presented.is_tradable(now) {
            return self.trade(tx, presented, now).await.map(Some);
        }
        let token = presented.token();
        if token.rotated_at.is_none() || token.revoked_at.is_some() {
            return Ok(None);
        }
        let family = tx.refresh_tokens().lock_family(reach, token.family_id).await?;
        let again = self.unused_successor(tx, &presented, now).await?;
        if let (Some(family), None) = (family, &again) {
            tx.refresh_tokens().revoke(&[family], RevokedReason::Reused, now).await?;
        }
        Ok(again.filter(|_| presented.user_is_active()))
    }

    /// Trades a token that can be traded.
    async fn trade(&self, tx: &mut Conn, presented: Presented, now: Timestamp) -> Result<Told> {
        let token = presented.token();
        let id = self.app.new_id(now);
        let (plaintext, hash) = mint_refresh_token(id);
        let successor = token.successor(id, hash, self.app.policy.lifetimes.token, now);
        let grace = !self.app.policy.rotation_grace.is_zero();
        let sealed = grace.then(|| self.seal(&plaintext, token));
        tx.refresh_tokens().rotate(presented, &successor, sealed, now).await?;
        Ok((successor, plaintext))
    }

    /// The successor of a traded token, if it may be told again: within the grace, and not yet used itself.
    async fn unused_successor(&self, tx: &mut Conn, presented: &Presented, now: Timestamp) -> Result<Option<Told>> {
        let token = presented.token();
        let (Some(rotated_at), Some(sealed)) = (token.rotated_at, &token.successor_sealed) else { return Ok(None) };
        if now >= rotated_at.after(self.app.policy.rotation_grace) {
            return Ok(None);
        }
        let successor = tx.refresh_tokens().get_current_successor(presented).await?;
        let Some(successor) = successor.filter(|successor| successor.is_live(now)) else { return Ok(None) };
        let secret = self.app.keys.open(sealed, place(token)).map_err(Error::SealedValueUnreadable)?;
        let secret = String::from_utf8_lossy(&secret).into_owned();
        Ok(Some((successor, Plaintext::new(secret))))
    }

    fn seal(&self, secret: &Plaintext, token: &RefreshToken) -> Sealed {
        self.app.keys.seal(secret.expose().as_bytes(), place(token))
    }
}

/// Where the sealed secret of a token's successor belongs.
fn place(token: &RefreshToken) -> Place<'static> {
    Place { table: "cf_refresh_tokens", column: "successor_sealed", row: token.id.0, owner: token.user_id.0 }
}

fn rejected() -> Error {
    Error::Precondition(Precondition::RefreshTokenRejected)
}

#[tonic::async_trait]
impl RefreshTokenService for RefreshTokenHandler {
    async fn create_refresh_token(
        &self,
        request: Request<pb::CreateRefreshTokenRequest>,
    ) -> Result<Response<pb::CreateRefreshTokenResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::refresh_token::create(&r))?;
        let now = self.app.now();
        let id = self.app.new_id(now);
        let (plaintext, hash) = mint_refresh_token(id);
        let token = new.to_refresh_token(id, hash, self.app.policy.lifetimes, now);
        let create = self.app.change(&call, async |tx| {
            guards::active_user(&guards::own_user(tx, &call.caller, new.user_id).await?)?;
            tx.refresh_tokens().insert(&token).await?;
            Ok(pb::CreateRefreshTokenResponse {
                refresh_token: Some(token.clone().into()),
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
        let (id, hash) = &read_refresh_token(presented.expose()).ok_or_else(rejected)?;
        let now = self.app.now();
        let reach = call.caller.reach();
        // Almost every token is presented once, by one. Where a statement has a way to go, it is read before the transaction, and
        // traded by the one statement that this then has.
        let presented = if self.app.db.has_round_trips() {
            self.app.db.read(async |conn| conn.refresh_tokens().get_presented(&reach, *id, hash).await).await?
        } else {
            None
        };
        let presented = Mutex::new(presented.filter(|presented| presented.is_tradable(now)));
        let rotate = self.app.change_or_refuse(&call, async |tx| {
            let as_read = presented.lock().unwrap_or_else(PoisonError::into_inner).take();
            let told = match as_read {
                Some(presented) => Some(self.trade(tx, presented, now).await?),
                None => self.rotate(tx, &reach, *id, hash, now).await?,
            };
            Ok(told.ok_or_else(rejected).map(|(token, secret)| pb::RotateRefreshTokenResponse {
                refresh_token: Some(token.into()),
                plaintext_token: secret.expose().to_owned(),
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
            let mut tokens = tx.refresh_tokens();
            let token = match &key {
                RefreshTokenKey::Id(id) => tokens.get(&caller.reach(), *id).await?,
                RefreshTokenKey::Secret(secret) => match read_refresh_token(secret.expose()) {
                    Some((id, hash)) => tokens.get(&caller.reach(), id).await?.filter(|t| t.token_hash.matches(&hash)),
                    None => None,
                },
            };
            let token = token.ok_or(Error::NotFound(Entity::RefreshToken))?;
            let family = tokens.lock_family(&caller.reach(), token.family_id).await?;
            let family = family.ok_or(Error::NotFound(Entity::RefreshToken))?;
            tokens.revoke(&[family], RevokedReason::Revoked, now).await?;
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
            guards::own_user(tx, caller, user_id).await?;
            let families = tx.refresh_tokens().lock_live_families(&caller.reach(), user_id, except, now).await?;
            let revoked = tx.refresh_tokens().revoke(&families, RevokedReason::RevokedAll, now).await?;
            Ok(pb::RevokeAllRefreshTokensResponse { revoked_sessions: i64::try_from(revoked).unwrap_or(i64::MAX) })
        });
        Ok(Response::new(revoke.await?))
    }
}
