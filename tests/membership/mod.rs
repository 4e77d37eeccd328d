//! `MembershipService`, a file per method.

mod create;
mod delete;
mod disable;
mod enable;
mod get;
mod list;
mod metadata;
mod update;
