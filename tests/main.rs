//! The integration tests: real gRPC to a real server, each test on its own SQLite file and on its own PostgreSQL database.
//! The path of a test mirrors its method: `user/create.rs` tests `UserService.CreateUser`.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::match_same_arms,
    clippy::unnecessary_wraps,
    reason = "a test that cannot continue must fail, and names favour readability"
)]

use tenantry_testing as support;

mod access;
mod api_key;
mod architecture;
mod attacks;
mod authentication;
mod authority_model;
mod authorization;
mod batches;
mod clients;
mod command_line;
mod connections;
mod contract;
mod crash;
mod erasure;
mod errors;
mod event;
mod events;
mod faults;
mod hashes;
mod idempotency;
mod input;
mod invitation;
mod lists;
mod membership;
mod migrations;
mod mirror;
mod model;
mod oauth_account;
mod organization;
mod passwords;
mod plans;
mod races;
mod readme;
mod refresh_token;
mod requirements;
mod role;
mod selftest;
mod session;
mod sessions;
mod signing_keys;
mod startup;
mod sweeps;
mod telemetry;
mod times;
mod timing;
mod tls;
mod transport;
mod upstream;
mod user;
mod validate_only;
mod wire;
