//! The results as a table.

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command, time::Duration};

use crate::{
    load::{CONNECTIONS, IN_FLIGHT, Rate},
    support::{Backend, REPOSITORY},
};

/// Measurements of an operation, one per round.
#[derive(Default)]
struct Operation {
    per_second: Vec<f64>,
    ratios: Vec<f64>,
    p99: Vec<Duration>,
    of: &'static str,
    goal: Option<f64>,
}

/// All results.
#[derive(Default)]
pub struct Report {
    /// Names of the operations, in the order of their first measurement.
    order: Vec<&'static str>,
    operations: BTreeMap<(&'static str, &'static str), Operation>,
    limits: BTreeMap<(&'static str, &'static str), Vec<f64>>,
    lines: Vec<String>,
    tables: Vec<String>,
}

/// Display name of a database.
pub fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "SQLite",
        Backend::Postgres => "PostgreSQL",
    }
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl Report {
    /// Records a limit.
    pub fn limit(&mut self, backend: Backend, limit: &'static str, per_second: f64) {
        eprintln!("  {limit:45} {per_second:9.0}/s");
        self.limits.entry((limit, name(backend))).or_default().push(per_second);
    }

    /// The last measurement of a limit.
    pub fn last_limit(&self, backend: Backend, limit: &'static str) -> f64 {
        self.limits.get(&(limit, name(backend))).and_then(|all| all.last()).copied().unwrap_or(0.0)
    }

    /// Records a rate and its limit. Panics if any call was refused.
    pub fn rate(
        &mut self,
        backend: Backend,
        operation: &'static str,
        rate: &Rate,
        limit: (&'static str, f64, Option<f64>),
    ) {
        assert!(rate.refused == 0.0, "{operation}: {} refused per second", rate.refused);
        self.operation(backend, operation, rate.per_second, Some(rate.p99), limit);
    }

    /// Records the throughput of an operation and its limit.
    pub fn operation(
        &mut self,
        backend: Backend,
        operation: &'static str,
        per_second: f64,
        p99: Option<Duration>,
        (of, limit, goal): (&'static str, f64, Option<f64>),
    ) {
        eprintln!("  {operation:45} {per_second:9.0}/s {:5.2} {of}", per_second / limit);
        if !self.order.contains(&operation) {
            self.order.push(operation);
        }
        let entry = self.operations.entry((operation, name(backend))).or_default();
        entry.per_second.push(per_second);
        entry.ratios.push(per_second / limit);
        entry.p99.extend(p99);
        (entry.of, entry.goal) = (of, goal);
    }

    /// The median ratio of an operation to its limit.
    pub fn ratio(&self, backend: Backend, operation: &'static str) -> f64 {
        self.operations.get(&(operation, name(backend))).map_or(0.0, |found| median(&found.ratios))
    }

    /// Names of the operations.
    pub fn operations(&self) -> &[&'static str] {
        &self.order
    }

    /// Records the start-up time and the memory at rest, in MiB.
    pub fn at_rest(&mut self, backend: Backend, start: Duration, memory: f64) {
        let line =
            format!("{}: from start to serving {} ms, {memory:.0} MiB at rest", name(backend), start.as_millis());
        eprintln!("  {line}");
        self.lines.push(line);
    }

    /// Records the overload with ten times as many calls.
    pub fn overload(&mut self, backend: Backend, normal: &Rate, over: &Rate) {
        let line = format!(
            "{}: CreateUser with ten times the calls in flight: {:.2} of the rate, p99 latency {:.1} times as long, \
             {:.0} refused per second",
            name(backend),
            over.per_second / normal.per_second,
            over.p99.as_secs_f64() / normal.p99.as_secs_f64(),
            over.refused,
        );
        eprintln!("  {line}");
        self.lines.push(line);
    }

    /// Records the memory after the load, in MiB.
    pub fn under_load(&mut self, backend: Backend, memory: f64) {
        let line = format!("{}: {memory:.0} MiB after the load", name(backend));
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    /// Records the delays of events, sorted.
    pub fn watch(&mut self, backend: Backend, taken: &[Duration]) {
        let at = |share: usize| taken.get(taken.len() * share / 100).copied().unwrap_or_default();
        let line = format!(
            "{}: an event arrives {:.1?} after the response to its change (median; 99 %: {:.1?})",
            name(backend),
            at(50),
            at(99)
        );
        eprintln!("  {line}");
        self.lines.push(line);
    }

    /// Records the limit of password hashes.
    pub fn hash_limit(&mut self, per_second: f64) {
        self.lines.push(format!("Argon2id (19 MiB, 2 passes) on all cores: {per_second:.0} hashes per second"));
    }

    /// Adds a line.
    pub fn line(&mut self, line: String) {
        eprintln!("  {line}");
        self.lines.push(line);
    }

    /// Adds a further table.
    pub fn table(&mut self, text: String) {
        self.tables.push(text);
    }

    /// Renders the report.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "| Operation | Database | Per second | p99 | Ratio | Of | Goal |\n| --- | --- | ---: | ---: | ---: | --- | ---: |\n",
        );
        for operation in &self.order {
            for backend in ["SQLite", "PostgreSQL"] {
                let Some(found) = self.operations.get(&(*operation, backend)) else { continue };
                let p99 =
                    found.p99.iter().max().map_or(String::new(), |p99| format!("{:.1} ms", p99.as_secs_f64() * 1000.0));
                let goal = found.goal.map_or(String::new(), |goal| format!("{goal:.2}"));
                let (rate, ratio) = (median(&found.per_second), median(&found.ratios));
                let _ = writeln!(
                    text,
                    "| {operation} | {backend} | {rate:.0} | {p99} | {ratio:.2} | {} | {goal} |",
                    found.of
                );
            }
        }
        text.push_str("\n| Limit | Database | Per second |\n| --- | --- | ---: |\n");
        for ((limit, backend), found) in &self.limits {
            let _ = writeln!(text, "| {limit} | {backend} | {:.0} |", median(found));
        }
        text.push('\n');
        let mut lines = self.lines.clone();
        lines.sort();
        for line in lines {
            let _ = writeln!(text, "* {line}");
        }
        for table in &self.tables {
            let _ = write!(text, "\n{table}");
        }
        text
    }

    /// Prints the report and writes it to a file with a description of the machine.
    pub fn write(&self, name: &str) {
        let table = self.text();
        println!("{table}");
        let text = format!(
            "# Benchmarks\n\nWritten by `make bench`. {IN_FLIGHT} calls in flight on {CONNECTIONS} connections; medians of all rounds; the client, the server \
             and the database share the machine. The limit that an operation is compared with was measured in the same round.\n\n{}\n{table}",
            machine(),
        );
        fs::write(format!("{REPOSITORY}/docs/{name}"), text).unwrap();
    }
}

/// Describes the machine and the versions.
fn machine() -> String {
    let first = |command: &str| {
        let output = Command::new("bash").args(["-c", command]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    format!(
        "* Machine: {} with {} cores, {} MiB, Linux {}\n* {}, tenantry {}, release profile, mimalloc. Bare server: unmodified tonic, thin LTO, the system allocator\n* SQLite: WAL, synchronous FULL. \
         PostgreSQL: {}, fsync on, default settings, on the same machine\n",
        first("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2"),
        first("nproc"),
        first("awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo"),
        first("uname -r"),
        first("rustc --version"),
        env!("CARGO_PKG_VERSION"),
        first(
            "$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)/postgres --version || postgres --version"
        ),
    )
}
