//! Tokens that are mailed to a user and can be used once.
//!
//! Anyone can click "forgot my password" for any address. If each call voided the token before, a stranger could keep the owner from
//! ever using one by clicking often enough. So while at least half of a token's life is left, starting again returns the same token.

use crate::{
    app::{App, authority},
    db::Conn,
    error::{Error, Precondition, Result},
    models::{Action, Caller, Email, OneTimeToken, OneTimeTokenId, Plaintext, Purpose, SecretHash, Timestamp, User},
    repositories::Locked,
    security::sealing::SealedAt,
};

/// A token to be mailed.
pub struct IssuedToken {
    /// The token, with the address to mail it to.
    pub token: OneTimeToken,
    /// Its text.
    pub plaintext: Plaintext,
}

/// The id and the secret of a new token, not yet stored.
pub(super) struct MintedToken {
    id: OneTimeTokenId,
    plaintext: Plaintext,
    hash: SecretHash,
}

/// Creates the id and the secret of a new token.
pub(super) fn mint(app: &App, purpose: Purpose) -> MintedToken {
    let id = app.new_id(app.now());
    let (plaintext, hash) = app.secrets.mint_one_time_token(purpose, id);
    MintedToken { id, plaintext, hash }
}

/// Issues the token to mail to a locked user, or to an address that the user wants as e-mail. Returns the user's existing token if it
/// can be used again, which writes no event; otherwise stores `minted` in its place.
pub(super) async fn issue(
    app: &App,
    tx: &mut Conn,
    caller: &Caller,
    user: &User,
    purpose: Purpose,
    to: Option<&Email>,
    minted: &MintedToken,
) -> Result<IssuedToken> {
    let (life, action) = match purpose {
        Purpose::EmailVerification => (app.policy.email_token_life, Action::UserEmailVerificationStarted),
        Purpose::EmailChange => (app.policy.email_token_life, Action::UserEmailChangeStarted),
        Purpose::PasswordReset => (app.policy.password_reset_life, Action::UserPasswordResetStarted),
    };
    authority::account(tx, caller, user)?;
    let now = app.now();
    let stored = tx.one_time_tokens().of_kind(user, purpose).await?;
    if let Some(token) = stored.filter(|token| token.serves(user, to, now))
        && let Some(plaintext) = open(app, &token)
    {
        return Ok(IssuedToken { token, plaintext });
    }
    let MintedToken { id, plaintext, hash } = minted;
    let mut token = OneTimeToken::new((*id, hash.clone()), purpose, user, to, life, now);
    token.plaintext_sealed = Some(app.keys.seal(plaintext.expose().as_bytes(), place(&token)));
    tx.one_time_tokens().replace(&token).await?;
    tx.passwords().happened(user, action);
    Ok(IssuedToken { token, plaintext: plaintext.clone() })
}

/// The text of a stored token. `None` if it cannot be opened, for example after its sealing key was removed; a new token then replaces
/// it.
fn open(app: &App, token: &OneTimeToken) -> Option<Plaintext> {
    let text = app.keys.open(token.plaintext_sealed.as_ref()?, place(token)).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    app.secrets.read_one_time_token(token.purpose, text)?;
    Some(Plaintext::new(text.to_owned()))
}

/// The row and column that the sealed text of a token belongs to.
fn place(token: &OneTimeToken) -> SealedAt<'static> {
    SealedAt { table: "cf_one_time_tokens", column: "plaintext_sealed", row: token.id.0, owner: token.user_id.0 }
}

/// Reads a presented token.
pub(super) fn parse(app: &App, purpose: Purpose, token: &Plaintext) -> Result<(OneTimeTokenId, SecretHash)> {
    app.secrets.read_one_time_token(purpose, token.expose()).ok_or_else(rejected)
}

/// Consumes a presented token, locks its user, and decides whether the caller may open the account with it. A caller that may not gets
/// the same answer as one without a valid token.
pub(super) async fn redeem(
    tx: &mut Conn,
    caller: &Caller,
    purpose: Purpose,
    presented: (OneTimeTokenId, SecretHash),
    now: Timestamp,
) -> Result<(OneTimeToken, Locked<User>)> {
    let (token, user) = tx.one_time_tokens().take(purpose, presented, now).await?.ok_or_else(rejected)?;
    authority::account(tx, caller, &user).map_err(|_| rejected())?;
    Ok((token, user))
}

/// The one error for a token that cannot be used, whatever the cause.
pub(super) fn rejected() -> Error {
    Error::Precondition(Precondition::OneTimeTokenRejected)
}
