//! Benchmarks of the Tenantry binary: see `main.rs` and `make help`.
