//! Metrics in Prometheus format. Each component keeps its own counters and registers them here. No label identifies a person or a tenant.

use prometheus_client::{
    encoding::text,
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Prefix of every metric name.
const PREFIX: &str = "tenantry";

/// All metrics of a server.
pub struct Metrics {
    registry: Registry,
    observers: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let info = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the server", prometheus_client::metrics::info::Info::new(info));
        let mut metrics = Self { registry, observers: Vec::new() };
        let (memory, files): (Gauge, Gauge) = Default::default();
        metrics.registry.register("process_resident_memory_bytes", "Memory of the process", memory.clone());
        metrics.registry.register("process_open_files", "File descriptors of the process", files.clone());
        metrics.observe(move || {
            memory.set(resident_bytes().unwrap_or_default());
            files.set(open_files().unwrap_or_default());
        });
        metrics
    }
}

impl Metrics {
    /// The registry in which components register their metrics.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds a function that updates gauges before each scrape.
    pub fn observe(&mut self, observer: impl Fn() + Send + Sync + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// The metrics as OpenMetrics text.
    pub fn text(&self) -> String {
        for observer in &self.observers {
            observer();
        }
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

/// A histogram of seconds, with buckets from tens of microseconds to the longest call.
pub fn seconds() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0,
    ])
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<i64>().ok()?.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    i64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
