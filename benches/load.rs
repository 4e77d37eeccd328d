//! Load generation over several connections, one thread each.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::wire::{Connection, Script, Seen};

/// Number of connections.
pub const CONNECTIONS: usize = 4;
/// Number of calls in flight over all connections.
pub const IN_FLIGHT: usize = 64;
/// Duration of a load before the measurement starts.
pub const WARM_UP: Duration = Duration::from_millis(700);

/// Throughput and latency of a load.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Answers per second.
    pub per_second: f64,
    /// Refusals per second.
    pub refused: f64,
    /// 99th percentile of the latency.
    pub p99: Duration,
}

/// Runs a load: each connection has its own script and its share of the calls in flight.
pub fn run(
    address: SocketAddr,
    key: Option<&str>,
    (connections, in_flight): (usize, usize),
    lasting: Duration,
    script: impl Fn(usize) -> Box<dyn Script>,
) -> Rate {
    let from = Instant::now() + WARM_UP;
    let until = from + lasting;
    let threads: Vec<_> = (0..connections)
        .map(|at| {
            let mut connection = Connection::open(address, key).expect("the server accepts a connection");
            let mut script = script(at);
            thread::spawn(move || connection.run(script.as_mut(), in_flight / connections, from, until))
        })
        .collect();
    let mut seen = Seen::default();
    joined(threads).for_each(|other| seen.add(other));
    rate(seen, lasting)
}

/// Runs streams of questions, one per connection. Returns answers per second.
pub fn stream(
    address: SocketAddr,
    key: &str,
    (connections, in_flight): (usize, u64),
    lasting: Duration,
    script: impl Fn() -> Box<dyn Script>,
) -> f64 {
    let from = Instant::now() + WARM_UP;
    let until = from + lasting;
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let mut connection = Connection::open(address, Some(key)).expect("the server accepts a connection");
            let mut script = script();
            thread::spawn(move || connection.stream(script.as_mut(), in_flight, from, until))
        })
        .collect();
    joined(threads).sum::<u64>() as f64 / lasting.as_secs_f64()
}

/// Sends every request of the scripts once. Returns answers per second.
pub fn once(address: SocketAddr, key: &str, in_flight: usize, scripts: Vec<Box<dyn Script>>) -> f64 {
    let begun = Instant::now();
    let share = in_flight / scripts.len();
    let threads: Vec<_> = scripts
        .into_iter()
        .map(|mut script| {
            let mut connection = Connection::open(address, Some(key)).expect("the server accepts a connection");
            let far = begun + Duration::from_mins(10);
            thread::spawn(move || connection.run(script.as_mut(), share, begun, far))
        })
        .collect();
    let mut seen = Seen::default();
    joined(threads).for_each(|other| seen.add(other));
    seen.micros.len() as f64 / begun.elapsed().as_secs_f64()
}

/// Waits for the threads of the connections and returns their results.
fn joined<T>(threads: Vec<thread::JoinHandle<io::Result<T>>>) -> impl Iterator<Item = T> {
    let seen = |thread: thread::JoinHandle<io::Result<T>>| thread.join().expect("a connection does not panic");
    threads.into_iter().map(move |thread| seen(thread).expect("the server keeps its connections open"))
}

/// Computes the rate from the latencies of all calls.
fn rate(mut seen: Seen, lasting: Duration) -> Rate {
    seen.micros.sort_unstable();
    let at = |share: f64| {
        let place = (seen.micros.len() as f64 * share) as usize;
        Duration::from_micros(seen.micros.get(place).copied().unwrap_or(0).into())
    };
    Rate {
        per_second: seen.micros.len() as f64 / lasting.as_secs_f64(),
        refused: seen.refused as f64 / lasting.as_secs_f64(),
        p99: at(0.99),
    }
}
