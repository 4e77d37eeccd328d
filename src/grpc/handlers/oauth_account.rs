//! `OauthAccountService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{self, App},
    grpc::convert,
    models::OauthAccountId,
    pb::{self, oauth_account_service_server::OauthAccountService},
};

/// Serves `OauthAccountService`.
#[derive(Clone)]
pub struct OauthAccountHandler {
    app: App,
}

impl OauthAccountHandler {
    /// Creates the handler.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl OauthAccountService for OauthAccountHandler {
    async fn link_oauth_account(
        &self,
        request: Request<pb::LinkOauthAccountRequest>,
    ) -> Result<Response<pb::LinkOauthAccountResponse>, Status> {
        let (call, (new, verified_email)) = called_to_act(request, convert::oauth_account::link)?;
        let answer = |linked| pb::LinkOauthAccountResponse { oauth_account: Some(pb::OauthAccount::from(linked)) };
        Ok(Response::new(app::oauth_account::link(&self.app, &call, &new, verified_email.as_ref(), answer).await?))
    }

    async fn get_oauth_account(
        &self,
        request: Request<pb::GetOauthAccountRequest>,
    ) -> Result<Response<pb::GetOauthAccountResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("oauth_account_id", &request.oauth_account_id)?;
        let account = app::oauth_account::get(&self.app, &caller, id).await?;
        Ok(Response::new(pb::GetOauthAccountResponse { oauth_account: Some(account.into()) }))
    }

    async fn list_oauth_accounts(
        &self,
        request: Request<pb::ListOauthAccountsRequest>,
    ) -> Result<Response<pb::ListOauthAccountsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::oauth_account::list(lists, &request)?;
        let page = app::oauth_account::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (oauth_accounts, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOauthAccountsResponse { oauth_accounts, next_page_token }))
    }

    async fn get_oauth_account_by_provider(
        &self,
        request: Request<pb::GetOauthAccountByProviderRequest>,
    ) -> Result<Response<pb::GetOauthAccountByProviderResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let account = convert::oauth_account::get_by_provider(&request)?;
        let account = app::oauth_account::get_by_provider(&self.app, &caller, &account).await?;
        Ok(Response::new(pb::GetOauthAccountByProviderResponse { oauth_account: Some(account.into()) }))
    }

    async fn set_oauth_account_tokens(
        &self,
        request: Request<pb::SetOauthAccountTokensRequest>,
    ) -> Result<Response<pb::SetOauthAccountTokensResponse>, Status> {
        let (call, (target, tokens)) = called_to_act(request, convert::oauth_account::set_tokens)?;
        let answer =
            |account| pb::SetOauthAccountTokensResponse { oauth_account: Some(pb::OauthAccount::from(account)) };
        Ok(Response::new(app::oauth_account::set_tokens(&self.app, &call, &target, &tokens, answer).await?))
    }

    async fn get_oauth_account_tokens(
        &self,
        request: Request<pb::GetOauthAccountTokensRequest>,
    ) -> Result<Response<pb::GetOauthAccountTokensResponse>, Status> {
        let (call, id) = called_to_act(request, |r| convert::id_of("oauth_account_id", &r.oauth_account_id))?;
        let tokens = app::oauth_account::open_tokens(&self.app, &call, id).await?;
        let tokens = Some(convert::oauth_account::wire_tokens(&tokens));
        Ok(Response::new(pb::GetOauthAccountTokensResponse { tokens }))
    }

    async fn unlink_oauth_account(
        &self,
        request: Request<pb::UnlinkOauthAccountRequest>,
    ) -> Result<Response<pb::UnlinkOauthAccountResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OauthAccountId>("oauth_account_id", &r.oauth_account_id, r.etag)
        })?;
        let answer = |()| pb::UnlinkOauthAccountResponse {};
        Ok(Response::new(app::oauth_account::unlink(&self.app, &call, &target, answer).await?))
    }
}
