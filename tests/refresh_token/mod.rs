//! `RefreshTokenService`, a file per method.

mod create;
mod revoke;
mod rotate;
