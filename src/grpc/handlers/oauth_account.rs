//! `OAuthAccountService`.

use tonic::{Request, Response, Status};

use super::{called_by, called_to_act, lists};
use crate::{
    app::{self, App},
    grpc::convert,
    models::OAuthAccountId,
    pb::{self, o_auth_account_service_server::OAuthAccountService},
};

/// Serves `OAuthAccountService`.
#[derive(Clone)]
pub struct OAuthAccountHandler {
    app: App,
}

impl OAuthAccountHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl OAuthAccountService for OAuthAccountHandler {
    async fn link_o_auth_account(
        &self,
        request: Request<pb::LinkOAuthAccountRequest>,
    ) -> Result<Response<pb::LinkOAuthAccountResponse>, Status> {
        let (call, (new, verified_email)) = called_to_act(request, convert::oauth_account::link)?;
        let answer = |linked| pb::LinkOAuthAccountResponse { oauth_account: Some(pb::OAuthAccount::from(linked)) };
        Ok(Response::new(app::oauth_account::link(&self.app, &call, &new, verified_email.as_ref(), answer).await?))
    }

    async fn get_o_auth_account(
        &self,
        request: Request<pb::GetOAuthAccountRequest>,
    ) -> Result<Response<pb::GetOAuthAccountResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("oauth_account_id", &request.oauth_account_id)?;
        let account = app::oauth_account::get(&self.app, &caller, id).await?;
        Ok(Response::new(pb::GetOAuthAccountResponse { oauth_account: Some(account.into()) }))
    }

    async fn list_o_auth_accounts(
        &self,
        request: Request<pb::ListOAuthAccountsRequest>,
    ) -> Result<Response<pb::ListOAuthAccountsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::oauth_account::list(lists, &request)?;
        let page = app::oauth_account::list(&self.app, &caller, &listing.filter, &listing.page).await?;
        let (oauth_accounts, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOAuthAccountsResponse { oauth_accounts, next_page_token }))
    }

    async fn get_o_auth_account_by_provider(
        &self,
        request: Request<pb::GetOAuthAccountByProviderRequest>,
    ) -> Result<Response<pb::GetOAuthAccountByProviderResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let account = convert::oauth_account::get_by_provider(&request)?;
        let account = app::oauth_account::get_by_provider(&self.app, &caller, &account).await?;
        Ok(Response::new(pb::GetOAuthAccountByProviderResponse { oauth_account: Some(account.into()) }))
    }

    async fn set_o_auth_account_tokens(
        &self,
        request: Request<pb::SetOAuthAccountTokensRequest>,
    ) -> Result<Response<pb::SetOAuthAccountTokensResponse>, Status> {
        let (call, (target, tokens)) = called_to_act(request, convert::oauth_account::set_tokens)?;
        let answer =
            |account| pb::SetOAuthAccountTokensResponse { oauth_account: Some(pb::OAuthAccount::from(account)) };
        Ok(Response::new(app::oauth_account::set_tokens(&self.app, &call, &target, &tokens, answer).await?))
    }

    async fn get_o_auth_account_tokens(
        &self,
        request: Request<pb::GetOAuthAccountTokensRequest>,
    ) -> Result<Response<pb::GetOAuthAccountTokensResponse>, Status> {
        let (call, id) = called_to_act(request, |r| convert::id_of("oauth_account_id", &r.oauth_account_id))?;
        let tokens = app::oauth_account::open_tokens(&self.app, &call, id).await?;
        let tokens = Some(convert::oauth_account::wire_tokens(&tokens));
        Ok(Response::new(pb::GetOAuthAccountTokensResponse { tokens }))
    }

    async fn unlink_o_auth_account(
        &self,
        request: Request<pb::UnlinkOAuthAccountRequest>,
    ) -> Result<Response<pb::UnlinkOAuthAccountResponse>, Status> {
        let (call, target) = called_to_act(request, |r| {
            convert::target::<OAuthAccountId>("oauth_account_id", &r.oauth_account_id, r.etag)
        })?;
        let answer = |()| pb::UnlinkOAuthAccountResponse {};
        Ok(Response::new(app::oauth_account::unlink(&self.app, &call, &target, answer).await?))
    }
}
