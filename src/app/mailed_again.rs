//! Tokens that are mailed, when somebody starts again before the mail has been read.
//!
//! Anybody can press "forgot my password" for anybody. If each call made the token before useless, a stranger who presses it often enough
//! would keep the owner from ever using one. So as long as at least half of a token's life is left, starting again tells the same token.

use crate::{
    app::App,
    db::Conn,
    error::Result,
    models::{Email, OneTimeToken, OneTimeTokenId, Plaintext, Purpose, SecretHash, User},
    security::sealing::Place,
};

/// A token to return: its row, its text, and whether it was made by this call.
pub(super) struct Mailed {
    pub(super) token: OneTimeToken,
    pub(super) plaintext: Plaintext,
    pub(super) is_new: bool,
}

/// The token of a purpose to mail to a locked user, or to another address that it wants to have: the one that the user has, if it
/// still serves, and otherwise `minted`, which is stored in its place and lives for `life`.
pub(super) async fn told(
    app: &App,
    tx: &mut Conn,
    user: &User,
    purpose: Purpose,
    to: Option<&Email>,
    life: std::time::Duration,
    (id, (plaintext, hash)): &(OneTimeTokenId, (Plaintext, SecretHash)),
) -> Result<Mailed> {
    let now = app.now();
    let standing = tx.one_time_tokens().of_kind(user, purpose).await?;
    if let Some(token) = standing.filter(|token| token.serves(user, to, now))
        && let Some(plaintext) = opened(app, &token)
    {
        return Ok(Mailed { token, plaintext, is_new: false });
    }
    let mut token = OneTimeToken::new((*id, hash.clone()), purpose, user, to, life, now);
    token.plaintext_sealed = Some(app.keys.seal(plaintext.expose().as_bytes(), place(&token)));
    tx.one_time_tokens().replace(&token).await?;
    Ok(Mailed { token, plaintext: Plaintext::new(plaintext.expose().to_owned()), is_new: true })
}

/// The text of a stored token. `None` where it does not open, as after its sealing key was removed: another token takes its place.
fn opened(app: &App, token: &OneTimeToken) -> Option<Plaintext> {
    let text = app.keys.open(token.plaintext_sealed.as_ref()?, place(token)).ok()?;
    Some(Plaintext::new(std::str::from_utf8(&text).ok()?.to_owned()))
}

/// Where the sealed text of a token belongs.
fn place(token: &OneTimeToken) -> Place<'static> {
    Place { table: "cf_one_time_tokens", column: "plaintext_sealed", row: token.id.0, owner: token.user_id.0 }
}
