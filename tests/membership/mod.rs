//! `MembershipService`, a file per method.

pub mod batch_create;
mod batch_delete;
pub mod batch_update;
mod count_members;
mod create;
mod delete;
mod disable;
mod enable;
mod get;
mod list;
mod list_members;
mod metadata;
mod update;
