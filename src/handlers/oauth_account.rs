//! `OauthAccountService`.

use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{authority, called_by, called_to_act, ending, guards, lists};
use crate::{
    context::App,
    convert,
    error::{Entity, Error, Limit, Result},
    models::{Action, Change, OauthAccount, OauthAccountId, Plaintext, ProviderTokens, Sealed, State},
    pb::{self, oauth_account_service_server::OauthAccountService},
    security::sealing::{OpenError, Place},
};

/// Most accounts of a user.
const MAX_ACCOUNTS: u32 = 100;

/// Answers `OauthAccountService`.
#[derive(Clone)]
pub struct OauthAccountHandler {
    app: App,
}

impl OauthAccountHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Puts tokens into an account, each sealed for its column of this row.
    fn seal(&self, account: &mut OauthAccount, tokens: &ProviderTokens) {
        let seal = |token: &Option<Plaintext>, place| {
            token.as_ref().map(|token| self.app.keys.seal(token.expose().as_bytes(), place))
        };
        let [access_token, refresh_token] = places(account);
        account.access_token = seal(&tokens.access_token, access_token);
        account.refresh_token = seal(&tokens.refresh_token, refresh_token);
        account.token_expires_at = tokens.token_expires_at;
    }

    /// Opens the tokens of an account.
    fn open(&self, account: &OauthAccount) -> Result<ProviderTokens> {
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
fn places(account: &OauthAccount) -> [Place<'static>; 2] {
    ["access_token", "refresh_token"].map(|column| Place {
        table: "cf_oauth_accounts",
        column,
        row: account.id.0,
        owner: account.user_id.0,
    })
}

fn find<T>(account: Option<T>) -> Result<T> {
    account.ok_or(Error::NotFound(Entity::OauthAccount))
}

#[tonic::async_trait]
impl OauthAccountService for OauthAccountHandler {
    async fn link_oauth_account(
        &self,
        request: Request<pb::LinkOauthAccountRequest>,
    ) -> Result<Response<pb::LinkOauthAccountResponse>, Status> {
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
            guards::has_room(Limit::OauthAccounts, MAX_ACCOUNTS, tx.oauth_accounts().count_of_user(&user)).await?;
            if is_first_proof {
                user.email_verified_at = Some(now);
                tx.users().save(user, Action::UserEmailVerified, now).await?;
            }
            tx.oauth_accounts().insert(&account).await?;
            Ok(pb::LinkOauthAccountResponse { oauth_account: Some(account.clone().into()) })
        });
        Ok(Response::new(link.await?))
    }

    async fn get_oauth_account(
        &self,
        request: Request<pb::GetOauthAccountRequest>,
    ) -> Result<Response<pb::GetOauthAccountResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("oauth_account_id", &request.oauth_account_id)?;
        let account = find(self.app.db.read(async |conn| conn.oauth_accounts().get(&caller.reach(), id).await).await?)?;
        Ok(Response::new(pb::GetOauthAccountResponse { oauth_account: Some(account.into()) }))
    }

    async fn list_oauth_accounts(
        &self,
        request: Request<pb::ListOauthAccountsRequest>,
    ) -> Result<Response<pb::ListOauthAccountsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::oauth_account::list(lists, &request)?;
        let page = self.app.db.scan(async |conn| {
            guards::own_user(conn, &caller, listing.filter.user_id).await?;
            conn.oauth_accounts().list(&caller.reach(), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (oauth_accounts, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListOauthAccountsResponse { oauth_accounts, next_page_token }))
    }

    async fn get_oauth_account_by_provider(
        &self,
        request: Request<pb::GetOauthAccountByProviderRequest>,
    ) -> Result<Response<pb::GetOauthAccountByProviderResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let account = convert::oauth_account::get_by_provider(&request)?;
        let reach = &caller.reach();
        let get = self.app.db.read(async |conn| conn.oauth_accounts().get_by_provider(reach, &account).await);
        let account = get.await?;
        Ok(Response::new(pb::GetOauthAccountByProviderResponse { oauth_account: Some(find(account)?.into()) }))
    }

    async fn set_oauth_account_tokens(
        &self,
        request: Request<pb::SetOauthAccountTokensRequest>,
    ) -> Result<Response<pb::SetOauthAccountTokensResponse>, Status> {
        let (call, (target, tokens)) = called_to_act(request, convert::oauth_account::set_tokens)?;
        let now = self.app.now();
        let set = self.app.change(&call, async |tx| {
            let mut account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            self.seal(&mut account, &tokens);
            let account = tx.oauth_accounts().save(account, Action::OauthAccountTokensSet, now).await?;
            Ok(pb::SetOauthAccountTokensResponse { oauth_account: Some(account.into()) })
        });
        Ok(Response::new(set.await?))
    }

    async fn get_oauth_account_tokens(
        &self,
        request: Request<pb::GetOauthAccountTokensRequest>,
    ) -> Result<Response<pb::GetOauthAccountTokensResponse>, Status> {
        let (call, id) = called_to_act(request, |r| convert::id_of("oauth_account_id", &r.oauth_account_id))?;
        let reach = &call.caller.reach();
        let account = find(self.app.db.read(async |conn| conn.oauth_accounts().get(reach, id).await).await?)?;
        let tokens = self.open(&account)?;
        // Before they are told: without the event nobody sees them.
        let subject = State::from(account).subject();
        self.app.note(&call.origin, Change::nothing(Action::OauthAccountTokensOpened, subject)).await?;
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
        let unlink = self.app.change(&call, async |tx| {
            let account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            tx.oauth_accounts().delete(account).await?;
            Ok(pb::UnlinkOauthAccountResponse {})
        });
        Ok(Response::new(unlink.await?))
    }
}
