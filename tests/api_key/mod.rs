//! `ApiKeyService`, a file per method.

mod batch_verify;
mod create;
mod get;
mod list;
mod revoke;
mod update;
mod verify;
mod verify_stream;
