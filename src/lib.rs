//! Tenantry: the identity core of a multi-tenant SaaS as one gRPC binary.
//!
//! ```text
//! server      opens everything, orders the interceptors, starts and stops
//! interceptors  around every call: id, deadline, method, caller, limits, permission
//! grpc        handlers (parse, call one use-case, answer) and convert (wire <-> models)
//! app         the use-cases, one file per entity; nothing here knows tonic or prost
//! repositories  queries: diesel in, models out
//! db          the two databases: pools, transactions, migrations
//! models, security, error, clock  types and rules without I/O
//! ```
//!
//! Alongside: `transport` (connections, TLS), `http` (the JWK set, the operations port), `jobs` (background work), `cli` (commands of the
//! binary), `config` (settings), `telemetry` (logs, metrics, traces).
//!
//! A call passes `transport`, `interceptors`, a method of `grpc::handlers` and one function of `app`. Every change goes through
//! `app::change`, which commits it, its events and the stored answer in one transaction. Keys are checked from a cache
//! (`app::credentials`), and reads of the same kind share a statement (`db::reads`).
//!
//! One entity has one file name in every layer: `user.rs` in [`models`], [`repositories`], [`app`], [`grpc::convert`] and
//! [`grpc::handlers`]. `tests/architecture.rs` checks which module may import which, and that the imports have no cycle.

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

/// The messages, clients and servers of `proto/tenantry/v1`, documented by the comments of the protos.
pub mod pb {
    #![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]
    tonic::include_proto!("tenantry.v1");
}

/// The encoded descriptor set of the protos with every option and comment, served by reflection and the source of the access rules.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
