//! Benchmarks: each operation is compared with its theoretical limit, measured in the same run. `make bench` runs them on a fresh
//! database, `make bench-scale` on a large one. `make bench-lists` measures each list in a large database, and `make bench-signin`
//! measures many concurrent sign-ins.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::match_same_arms,
    clippy::unnecessary_wraps,
    reason = "a failed measurement should abort, and the precision of a float suffices for rates"
)]

mod limits;
mod lists;
mod load;
mod measure;
mod operations;
mod report;
mod scale;
mod search;
mod server;
mod sign_in;
mod wire;

use std::time::Duration;

use tenantry_testing as support;
use tenantry_testing::Backend;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let lasting = Duration::from_secs(number("BENCH_SECONDS", 3));
    let rounds = number("BENCH_ROUNDS", 3);
    match arguments.first().map(String::as_str) {
        Some("echo") => runtime.block_on(limits::echo::serve()).unwrap(),
        Some("sign-in") => {
            let lasting = Duration::from_secs(number("BENCH_SECONDS", 60));
            if !runtime.block_on(sign_in::run(lasting)) {
                std::process::exit(1);
            }
        }
        Some("lists") => {
            if !lists::sweep(&runtime).1 {
                std::process::exit(1);
            }
        }
        Some("scale") => {
            let mut full = runtime.block_on(scale::run(lasting, rounds));
            full.table(lists::sweep(&runtime).0);
            full.write("benchmarks-scale.md");
        }
        _ => runtime.block_on(async {
            let mut report = report::Report::default();
            for backend in [Backend::Sqlite, Backend::Postgres] {
                measure::database(backend, &mut report, lasting, rounds).await;
            }
            report.hash_limit(limits::argon2_per_second(lasting));
            report.write("benchmarks.md");
        }),
    }
}
