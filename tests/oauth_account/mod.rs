//! `OauthAccountService`, a file per method.

mod get;
mod get_by_provider;
mod get_tokens;
mod link;
mod list;
mod set_tokens;
mod unlink;
