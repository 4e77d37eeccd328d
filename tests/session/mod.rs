//! `SessionService`, a file per method.

mod get;
mod list;
mod revoke;
mod revoke_all;
