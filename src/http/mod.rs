//! Plain HTTP on the port of the API.

pub mod well_known;
