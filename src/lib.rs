//! Tenantry: the identity core of a multi-tenant SaaS as one gRPC binary.
//!
//! ```text
//! proto -> handlers (tonic in, tonic out) -> repositories (diesel in, models out) -> db (which database it is)
//!          interceptors (who are you, may you)   models (pure)   security (pure)   convert (wire <-> model)
//! ```
//!
//! A call walks: `server` (the chain of interceptors) -> `interceptors` (id, deadline, method, caller, permission) -> a method of
//! `handlers` in four steps: parse (`convert`, all violations at once), decide (rules that need the caller or stored
//! state), store (`change`, the one door of every change), answer. What is asked most is answered without the database
//! (`credentials`) or together with what others ask (`gather`).
//!
//! One entity has one file name in every layer: `user.rs` in [`models`], [`repositories`], [`convert`] and [`handlers`].
//!
//! Who knows whom: `models`, `security`, `clock` and `error` know nothing of ours above them; `repositories` know `db` and
//! `models`; `convert` knows the wire and `models`; `handlers` and `interceptors` know those; `server` knows all. Only
//! `repositories` and `db` know diesel, only `db` knows that there are two databases, only [`status`] makes a status of an
//! error. `tests/architecture.rs` checks it.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod grpc;
pub mod http;
pub mod interceptors;
pub mod jobs;
pub mod models;
pub mod repositories;
pub mod security;
pub mod server;
pub mod telemetry;
pub mod transport;

/// The messages, clients and servers of `proto/tenantry/v1`. Their documentation is the comments of the protos.
pub mod pb {
    #![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
    tonic::include_proto!("tenantry.v1");
}

/// The encoded descriptor set of the protos with every option and comment: what reflection serves and the access rules are
/// read from.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
