//! Background jobs.

pub mod sweep;
pub mod usage;
