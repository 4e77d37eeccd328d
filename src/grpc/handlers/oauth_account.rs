//! `OAuthAccountService`.

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{authority, called_by, called_to_act, ending, guards, lists};
use crate::{
    app::App,
    error::{Entity, Error, Limit, Result},
    grpc::convert,
    models::{Action, Change, OAuthAccount, OAuthAccountId, Plaintext, ProviderTokens, Sealed, State},
    pb::{self, o_auth_account_service_server::OAuthAccountService},
    security::sealing::{OpenError, Place},
};

/// Most accounts of a user.
const MAX_ACCOUNTS: u32 = 100;

/// Answers `OAuthAccountService`.
#[derive(Clone)]
pub struct OAuthAccountHandler {
    app: App,
}

impl OAuthAccountHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Puts tokens into an account, each sealed for its column of this row.
    fn seal(&self, account: &mut OAuthAccount, tokens: &ProviderTokens) {
        let seal = |token: &Option<Plaintext>, place| {
            token.as_ref().map(|token| self.app.keys.seal(token.expose().as_bytes(), place))
        };
        let [access_token, refresh_token] = places(account);
        account.access_token = seal(&tokens.access_token, access_token);
        account.refresh_token = seal(&tokens.refresh_token, refresh_token);
        account.token_expires_at = tokens.token_expires_at;
    }

    /// Opens the tokens of an account.
    fn open(&self, account: &OAuthAccount) -> Result<ProviderTokens> {
        let open = |token: &Option<Sealed>, place| -> Result<Option<Plaintext>> {
            let Some(token) = token else { return Ok(None) };
            let opened: Zeroizing<Vec<u8>> = self.app.keys.open(token, place).map_err(Error::SealedValueUnreadable)?;
            let text = std::str::from_utf8(&opened).map_err(|_| Error::SealedValueUnreadable(OpenError::Altered))?;
            Ok(Some(Plaintext::new(text.to_owned())))
        };
        let [access_token, refresh_token] = places(account);
        Ok(ProviderTokens {
            access_token: open(&account.access_token, access_token)?,
            refresh_token: open(&account.refresh_token, refresh_token)?,
            token_expires_at: account.token_expires_at,
        })
    }
}

/// Where the two tokens of an account belong.
fn places(account: &OAuthAccount) -> [Place<'static>; 2] {
    ["access_token", "refresh_token"].map(|column| Place {
        table: "cf_oauth_accounts",
        column,
        row: account.id.0,
        owner: account.user_id.0,
    })
}

fn find<T>(account: Option<T>) -> Result<T> {
    account.ok_or(Error::NotFound(Entity::OAuthAccount))
}

#[tonic::async_trait]
impl OAuthAccountService for OAuthAccountHandler {
    async fn link_o_auth_account(
        &self,
        request: Request<pb::LinkOAuthAccountRequest>,
    ) -> Result<Response<pb::LinkOAuthAccountResponse>, Status> {
        let (call, (new, vouched)) = called_to_act(request, convert::oauth_account::link)?;
        let now = self.app.now();
        let mut account = new.to_oauth_account(self.app.new_id(now), now);
        self.seal(&mut account, &new.tokens);
        let link = self.app.change(&call, async |tx| {
            let user = tx.users().lock(&call.caller.reach(), new.user_id).await?;
            let mut user = user.ok_or(Error::NotFound(Entity::User))?;
            authority::account(tx, &call.caller, &user)?;
            let is_vouched = vouched.as_ref().is_some_and(|email| *email == user.email_normalized);
            let is_first_proof = is_vouched && user.email_verified_at.is_none();
            if is_first_proof {
                ending::with_first_proof(tx, &user, now).await?;
                tx.passwords().remove(&user).await?;
            }
            guards::has_room(Limit::OAuthAccounts, MAX_ACCOUNTS, tx.oauth_accounts().count_of_user(&user)).await?;
            if is_first_proof {
                user.email_verified_at = Some(now);
                tx.users().save(user, Action::UserEmailVerified, now).await?;
            }
            tx.oauth_accounts().insert(&account).await?;
            Ok(pb::LinkOAuthAccountResponse { oauth_account: Some(account.clone().into()) })
        });
        Ok(Response::new(link.await?))
    }

    async fn get_o_auth_account(
        &self,
        request: Request<pb::GetOAuthAccountRequest>,
    ) -> Result<Response<pb::GetOAuthAccountResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("oauth_account_id", &request.oauth_account_id)?;
        let account = find(self.app.db.read(async |conn| conn.oauth_accounts().get(&caller.reach(), id).await).await?)?;
        Ok(Response::new(pb::GetOAuthAccountResponse { oauth_account: Some(account.into()) }))
    }

    async fn list_o_auth_accounts(
        &self,
        request: Request<pb::ListOAuthAccountsRequest>,
    ) -> Result<Response<pb::ListOAuthAccountsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::oauth_account::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            guards::own_user(conn, &caller, listing.filter.user_id).await?;
            conn.oauth_accounts().list(&caller.reach(), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (oauth_accounts, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOAuthAccountsResponse { oauth_accounts, next_page_token }))
    }

    async fn get_o_auth_account_by_provider(
        &self,
        request: Request<pb::GetOAuthAccountByProviderRequest>,
    ) -> Result<Response<pb::GetOAuthAccountByProviderResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let account = convert::oauth_account::get_by_provider(&request)?;
        let reach = &caller.reach();
        let get = self.app.db.read(async |conn| conn.oauth_accounts().get_by_provider(reach, &account).await);
        let account = get.await?;
        Ok(Response::new(pb::GetOAuthAccountByProviderResponse { oauth_account: Some(find(account)?.into()) }))
    }

    async fn set_o_auth_account_tokens(
        &self,
        request: Request<pb::SetOAuthAccountTokensRequest>,
    ) -> Result<Response<pb::SetOAuthAccountTokensResponse>, Status> {
        let (call, (target, tokens)) = called_to_act(request, convert::oauth_account::set_tokens)?;
        let now = self.app.now();
        let set = self.app.change(&call, async |tx| {
            let mut account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            self.seal(&mut account, &tokens);
            let account = tx.oauth_accounts().save(account, Action::OauthAccountTokensSet, now).await?;
            Ok(pb::SetOAuthAccountTokensResponse { oauth_account: Some(account.into()) })
        });
        Ok(Response::new(set.await?))
    }

    async fn get_o_auth_account_tokens(
        &self,
        request: Request<pb::GetOAuthAccountTokensRequest>,
    ) -> Result<Response<pb::GetOAuthAccountTokensResponse>, Status> {
        let (call, id) = called_to_act(request, |r| convert::id_of("oauth_account_id", &r.oauth_account_id))?;
        let reach = &call.caller.reach();
        let account = find(self.app.db.read(async |conn| conn.oauth_accounts().get(reach, id).await).await?)?;
        let tokens = self.open(&account)?;
        // Before they are told: without the event nobody sees them.
        let subject = State::from(account).subject();
        self.app.note(&call.origin, Change::nothing(Action::OauthAccountTokensOpened, subject)).await?;
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
        let unlink = self.app.change(&call, async |tx| {
            let account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            tx.oauth_accounts().delete(account).await?;
            Ok(pb::UnlinkOAuthAccountResponse {})
        });
        Ok(Response::new(unlink.await?))
    }
}
