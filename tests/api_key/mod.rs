//! `ApiKeyService`, a file per method.

mod create;
mod get;
mod list;
mod revoke;
mod update;
mod verify;
