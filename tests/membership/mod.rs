//! `MembershipService`, a file per method.

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
