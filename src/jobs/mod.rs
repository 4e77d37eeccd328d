//! Work that runs in the background.

pub mod sweep;
pub mod usage;
