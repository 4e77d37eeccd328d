//! How things are asked for: tonic in, tonic out. Every method is four steps: parse, decide, store, answer.

mod api_key;
mod guards;
mod membership;
mod oauth_account;
mod organization;
mod refresh_token;
mod user;

pub use api_key::ApiKeyHandler;
pub use membership::MembershipHandler;
pub use oauth_account::OAuthAccountHandler;
pub use organization::OrganizationHandler;
pub use refresh_token::RefreshTokenHandler;
use tonic::Request;
pub use user::UserHandler;

use crate::{
    context::App,
    convert::Lists,
    error::{Error, Result},
    models::Caller,
};

/// Who is asking, and what.
fn called_by<T>(mut request: Request<T>) -> Result<(Caller, T)> {
    let caller = request.extensions_mut().remove::<Caller>();
    let caller = caller.ok_or_else(|| Error::internal("a method that needs a caller was reached without one"))?;
    Ok((caller, request.into_inner()))
}

/// What the page tokens of a caller's lists are read and written with.
fn lists<'a>(app: &'a App, caller: &Caller) -> Lists<'a> {
    Lists { tokens: &app.pages, reach: caller.reach() }
}
