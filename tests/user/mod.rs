//! `UserService`, a file per method.

mod batch_get;
mod batch_reactivate;
pub mod batch_suspend;
mod create;
mod delete;
mod delete_own;
mod export_own_data;
mod get;
mod get_by_email;
pub mod get_by_external_id;
mod grant_platform_admin;
pub mod import;
mod list;
mod metadata;
mod purge;
mod reactivate;
mod revoke_platform_admin;
mod suspend;
mod undelete;
mod update;
