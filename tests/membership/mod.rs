//! `MembershipService`, a file per method.

mod create;
mod delete;
mod get;
mod list;
mod metadata;
mod update;
