//! `EventService`.

mod export_snapshot;
mod list;
mod watch;
