//! `MembershipService`, a file per method.

pub mod batch_create;
mod batch_delete;
pub mod batch_update;
mod create;
mod delete;
mod disable;
mod enable;
mod get;
mod list;
mod update;
