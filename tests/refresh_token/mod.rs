//! `RefreshTokenService`, a file per method.

mod create;
mod list;
mod revoke;
mod revoke_all;
mod rotate;
