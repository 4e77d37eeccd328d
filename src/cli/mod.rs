//! The commands of the binary.

pub mod calibrate;
pub mod selftest;
pub mod signing_keys;
