//! `ApiKeyService`, a file per method.

mod batch_verify;
mod create;
mod disable;
mod enable;
mod get;
mod list;
mod metadata;
mod revoke;
mod revoke_own;
mod rotate;
mod update;
mod usage;
mod verify;
mod verify_stream;
