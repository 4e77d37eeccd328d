//! Settings of the log, metrics and traces.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::values::ratio;

/// Log filter of the PostgreSQL driver, which logs statement values below `warn`.
pub const DRIVER_LOG: &str = "tokio_postgres=warn";

/// Settings of log, metrics and traces.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,

    /// Address and port for metrics and probes, such as `127.0.0.1:9464`. Serves `GET /metrics` for Prometheus, `/livez` and `/readyz`.
    /// Unset: not served
    #[arg(long, env = "TENANTRY_METRICS_LISTEN", value_name = "ADDRESS", hide_env_values = true)]
    pub metrics_listen: Option<SocketAddr>,

    /// OTLP/gRPC endpoint that traces are exported to, such as `http://127.0.0.1:4317`. Unset: no traces
    #[arg(long, env = "TENANTRY_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,

    /// Share of calls without a `traceparent` that are traced, 0 to 1. A caller's `traceparent` takes precedence
    #[arg(long, env = "TENANTRY_TRACE_RATIO", value_name = "RATIO", default_value = "1", hide_env_values = true,
          value_parser = ratio)]
    pub trace_ratio: f64,
}

/// Settings of the log.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Log filter for standard error: `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,tenantry=debug`
    #[arg(long, env = "TENANTRY_LOG", value_name = "FILTER", default_value = "info", hide_env_values = true)]
    pub log: String,

    /// Log format: `text` for people, `json` for one object per line
    #[arg(long, env = "TENANTRY_LOG_FORMAT", value_name = "FORMAT", default_value = "text", hide_env_values = true)]
    pub log_format: LogFormat,
}

/// Format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
