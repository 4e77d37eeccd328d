//! `RoleService`, a file per method.

mod create;
mod delete;
mod get;
mod list;
mod update;
