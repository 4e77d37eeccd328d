//! OAuth accounts.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{App, authority, change::Answer, ending, guards, target::Target};
use crate::{
    error::{Entity, Error, Limit, Result, Taken},
    models::{
        Action, Call, Caller, Change, NewOauthAccount, NormalizedEmail, OauthAccount, OauthAccountFilter,
        OauthAccountId, Page, PageRequest, Plaintext, ProviderAccount, ProviderTokens, Reach, Sealed, State,
    },
    security::sealing::{KeyRing, OpenError, SealedAt},
};

/// Maximum number of accounts of a user.
const MAX_ACCOUNTS: u32 = 100;

/// Links an account at a provider to a user. `verified_email` is the address that the provider vouches for. If it is the user's and not
/// verified yet, it becomes verified, and credentials that a stranger may have created before end.
pub async fn link<A: Answer>(
    app: &App,
    call: &Call,
    new: &NewOauthAccount,
    verified_email: Option<&NormalizedEmail>,
    answer: fn(OauthAccount) -> A,
) -> Result<A> {
    let now = app.now();
    let mut account = new.to_oauth_account(app.new_id(now), now);
    seal(&app.keys, &mut account, &new.tokens);
    app.change(
        call,
        async |tx| {
            let mut user = guards::lock_user(tx, &call.caller, new.user_id).await?;
            authority::account(tx, &call.caller, &user)?;
            let is_vouched = verified_email.is_some_and(|email| *email == user.email_normalized);
            let is_first_proof = is_vouched && user.email_verified_at.is_none();
            if is_first_proof {
                ending::with_first_proof(tx, &user, now).await?;
            }
            let mut accounts = tx.oauth_accounts();
            let room = guards::has_room(Limit::OauthAccounts, MAX_ACCOUNTS, accounts.count_of_user(&user)).await;
            let key = ProviderAccount {
                provider: account.provider.clone(),
                provider_user_id: account.provider_user_id.clone(),
            };
            let exists = async { Ok(tx.oauth_accounts().get_by_provider(&Reach::by_system(), &key).await?.is_some()) };
            guards::room_or_taken(room, exists, Taken::OauthAccount).await?;
            if is_first_proof {
                user.email_verified_at = Some(now);
                ending::save_proven(tx, user, Action::UserEmailVerified, now).await?;
            }
            tx.oauth_accounts().insert(&account).await?;
            Ok(account.clone())
        },
        answer,
    )
    .await
}

/// Gets an OAuth account by id.
pub async fn get(app: &App, caller: &Caller, id: OauthAccountId) -> Result<OauthAccount> {
    find(app.db.read(async |conn| conn.oauth_accounts().get(&caller.reach(), id).await).await?)
}

/// Gets an OAuth account by its provider and the provider's own id.
pub async fn get_by_provider(app: &App, caller: &Caller, account: &ProviderAccount) -> Result<OauthAccount> {
    find(app.db.read(async |conn| conn.oauth_accounts().get_by_provider(&caller.reach(), account).await).await?)
}

/// Lists a page of the OAuth accounts of a user.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &OauthAccountFilter,
    page: &PageRequest,
) -> Result<Page<OauthAccount>> {
    let list = app.db.scan(async |conn| {
        guards::own_user(conn, caller, filter.user_id).await?;
        conn.oauth_accounts().list(&caller.reach(), filter, page).await
    });
    list.await
}

/// Replaces those of the provider's tokens of an account that are given.
pub async fn set_tokens<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OauthAccountId>,
    tokens: &ProviderTokens,
    answer: fn(OauthAccount) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            seal(&app.keys, &mut account, tokens);
            tx.oauth_accounts().save(account, Action::OauthAccountTokensSet, now).await
        },
        answer,
    )
    .await
}

/// Opens the provider's tokens of an account. Writes an event.
pub async fn open_tokens(app: &App, call: &Call, id: OauthAccountId) -> Result<ProviderTokens> {
    let account = get(app, &call.caller, id).await?;
    let tokens = open(&app.keys, &account)?;
    // Written before the tokens are returned: they are never disclosed without the event.
    let subject = State::from(account).subject();
    app.note(&call.origin, Change::nothing(Action::OauthAccountTokensOpened, subject)).await?;
    Ok(tokens)
}

/// Removes the link between a user and an account at a provider.
pub async fn unlink<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OauthAccountId>,
    answer: fn(()) -> A,
) -> Result<A> {
    app.change(
        call,
        async |tx| {
            let account = find(tx.oauth_accounts().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*account)?;
            tx.oauth_accounts().delete(account).await
        },
        answer,
    )
    .await
}

/// Stores tokens in an account, each sealed for its column of this row. A token that is stored already keeps its sealing, so that storing it
/// again changes nothing, unless the sealing key has changed.
fn seal(keys: &KeyRing, account: &mut OauthAccount, tokens: &ProviderTokens) {
    let seal = |token: &Option<Plaintext>, stored: &Option<Sealed>, place: SealedAt<'static>| {
        let Some(token) = token else { return stored.clone() };
        let token = Some(token.expose().as_bytes()).filter(|token| !token.is_empty())?;
        let is_stored = |stored: &&Sealed| {
            keys.is_by_primary(stored) && keys.open(stored, place).is_ok_and(|opened| opened.ct_eq(token).into())
        };
        Some(stored.as_ref().filter(is_stored).cloned().unwrap_or_else(|| keys.seal(token, place)))
    };
    let [access_token, refresh_token] = places(account);
    account.access_token = seal(&tokens.access_token, &account.access_token, access_token);
    account.refresh_token = seal(&tokens.refresh_token, &account.refresh_token, refresh_token);
    if tokens.access_token.is_some() || tokens.token_expires_at.is_some() {
        account.token_expires_at = tokens.token_expires_at;
    }
}

/// Opens the tokens of an account.
fn open(keys: &KeyRing, account: &OauthAccount) -> Result<ProviderTokens> {
    let open = |token: &Option<Sealed>, place| -> Result<Option<Plaintext>> {
        let Some(token) = token else { return Ok(None) };
        let opened: Zeroizing<Vec<u8>> = keys.open(token, place).map_err(Error::SealedValueUnreadable)?;
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

/// The columns that the two tokens of an account are sealed for.
fn places(account: &OauthAccount) -> [SealedAt<'static>; 2] {
    ["access_token", "refresh_token"].map(|column| SealedAt {
        table: "cf_oauth_accounts",
        column,
        row: account.id.0,
        owner: account.user_id.0,
    })
}

fn find<T>(account: Option<T>) -> Result<T> {
    account.ok_or(Error::NotFound(Entity::OauthAccount))
}
