//! OAuth accounts on the wire.

use super::{Listing, Lists, Validation, time};
use crate::{
    app::target::Target,
    error::{Error, Result},
    models::{
        Email, NewOauthAccount, NormalizedEmail, OauthAccount, OauthAccountFilter, OauthAccountId, Plaintext,
        ProviderAccount, ProviderTokens, Resource as _,
        oauth_account::{Provider, ProviderScopes, ProviderUserId},
        stored::StoredText as _,
    },
    pb,
};

/// Maximum size of a provider's token in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Parses a LinkOauthAccount request: the account, and the address that the provider vouches for, if any.
pub fn link(request: pb::LinkOauthAccountRequest) -> Result<(NewOauthAccount, Option<NormalizedEmail>)> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let provider = check.field("provider", Provider::parse(&request.provider));
    let provider_user_id = check.field("provider_user_id", ProviderUserId::parse(&request.provider_user_id));
    let email = check.optional("email", &request.email, Email::parse);
    let scopes = scopes(&mut check, request.scopes);
    let tokens = tokens(&mut check, request.tokens.unwrap_or_default());
    let (Some(user_id), Some(provider), Some(provider_user_id), Some(email), Some(scopes), Some(tokens)) =
        (user_id, provider, provider_user_id, email, scopes, tokens)
    else {
        return Err(check.failed());
    };
    let vouched = match (request.email_verified_by_provider, &email) {
        (false, _) => None,
        (true, Some(email)) => Some(email.normalized().clone()),
        (true, None) => return Err(Error::invalid("email", "must be set with email_verified_by_provider")),
    };
    let account = ProviderAccount { provider, provider_user_id };
    Ok((NewOauthAccount { user_id, account, email, scopes, tokens }, vouched))
}

/// Parses a ListOauthAccounts request.
pub fn list(lists: Lists<'_>, request: &pb::ListOauthAccountsRequest) -> Result<Listing<OauthAccountFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let user_id = check.id("user_id", &request.user_id);
    let provider = check.optional("provider", &request.provider, Provider::parse);
    let (Some(page), Some(user_id), Some(provider)) = (page, user_id, provider) else { return Err(check.failed()) };
    Ok(Listing::new(OauthAccountFilter { user_id, provider }, page))
}

/// Parses a GetOauthAccountByProvider request.
pub fn get_by_provider(request: &pb::GetOauthAccountByProviderRequest) -> Result<ProviderAccount> {
    let mut check = Validation::default();
    let provider = check.field("provider", Provider::parse(&request.provider));
    let provider_user_id = check.field("provider_user_id", ProviderUserId::parse(&request.provider_user_id));
    let (Some(provider), Some(provider_user_id)) = (provider, provider_user_id) else { return Err(check.failed()) };
    Ok(ProviderAccount { provider, provider_user_id })
}

/// Parses a SetOauthAccountTokens request.
pub fn set_tokens(request: pb::SetOauthAccountTokensRequest) -> Result<(Target<OauthAccountId>, ProviderTokens)> {
    let mut check = Validation::default();
    let id = check.id("oauth_account_id", &request.oauth_account_id);
    let given = check.field("tokens", request.tokens.ok_or("must be set"));
    let tokens = given.and_then(|given| tokens(&mut check, given));
    let (Some(id), Some(tokens)) = (id, tokens) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, tokens))
}

fn scopes(check: &mut Validation, scopes: Vec<String>) -> Option<ProviderScopes> {
    if scopes.len() > ProviderScopes::MAX {
        check.violation("scopes", "must have at most 100 items");
        return None;
    }
    let bad: Vec<usize> =
        (0..).zip(&scopes).filter(|(_, scope)| !ProviderScopes::is_scope(scope)).map(|(at, _)| at).collect();
    for at in &bad {
        check.violation(
            format!("scopes[{at}]"),
            "must have 1 to 255 printable ASCII characters without spaces, quotes and backslashes",
        );
    }
    bad.is_empty().then(|| ProviderScopes::new(scopes))
}

fn tokens(check: &mut Validation, tokens: pb::OauthTokens) -> Option<ProviderTokens> {
    let access_token = token(check, "tokens.access_token", tokens.access_token);
    let refresh_token = token(check, "tokens.refresh_token", tokens.refresh_token);
    let token_expires_at = check.optional_time("tokens.token_expires_at", tokens.token_expires_at.as_ref());
    Some(ProviderTokens {
        access_token: access_token?,
        refresh_token: refresh_token?,
        token_expires_at: token_expires_at?,
    })
}

fn token(check: &mut Validation, field: &str, text: Option<String>) -> Option<Option<Plaintext>> {
    let is_token = |text: &String| text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    let is_valid = text.as_ref().is_none_or(is_token);
    let token = text.map(Plaintext::new);
    check.field(field, is_valid.then_some(token).ok_or("must have at most 16 KiB of printable ASCII"))
}

/// A provider's tokens on the wire.
pub fn wire_tokens(tokens: &ProviderTokens) -> pb::OauthTokens {
    let text = |token: &Option<Plaintext>| token.as_ref().map(|token| token.expose().to_owned());
    pb::OauthTokens {
        access_token: text(&tokens.access_token),
        refresh_token: text(&tokens.refresh_token),
        token_expires_at: tokens.token_expires_at.map(time),
    }
}

impl From<OauthAccount> for pb::OauthAccount {
    fn from(account: OauthAccount) -> Self {
        Self {
            etag: account.etag(),
            id: account.id.to_string(),
            user_id: account.user_id.to_string(),
            provider: account.provider.as_stored().to_owned(),
            provider_user_id: account.provider_user_id.as_stored().to_owned(),
            email: account.email.map(|email| email.as_str().to_owned()).unwrap_or_default(),
            scopes: account.scopes.into_inner(),
            has_access_token: account.access_token.is_some(),
            has_refresh_token: account.refresh_token.is_some(),
            token_expires_at: account.token_expires_at.map(time),
            created_at: Some(time(account.created_at)),
            updated_at: Some(time(account.updated_at)),
        }
    }
}
