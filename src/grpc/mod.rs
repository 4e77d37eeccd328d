//! gRPC: messages in, one use-case, a message out.

pub mod convert;
pub mod handlers;
pub mod services;
pub mod status;
