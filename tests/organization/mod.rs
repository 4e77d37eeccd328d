//! `OrganizationService`, a file per method.

mod batch_get;
mod create;
mod delete;
mod get;
mod get_by_external_id;
mod get_by_slug;
mod leave;
mod list;
mod metadata;
mod purge;
mod reactivate;
mod suspend;
mod transfer_ownership;
mod undelete;
mod update;
