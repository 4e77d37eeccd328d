//! `MembershipService`, a file per method.

mod count_members;
mod create;
mod delete;
mod get;
mod list;
mod list_members;
mod update;
