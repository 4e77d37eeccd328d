//! The settings of what the service tells of itself.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::values::ratio;

/// The log filter of the PostgreSQL driver, which logs the values of statements at lower levels.
pub const DRIVER_LOG: &str = "tokio_postgres=warn";

/// Settings of log, metrics and traces.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,

    /// Address and port of the metrics, as `127.0.0.1:9464`: `GET /metrics` for Prometheus, `/livez`, `/readyz`. Unset: no metrics are served
    #[arg(long, env = "TENANTRY_METRICS_LISTEN", value_name = "ADDRESS", hide_env_values = true)]
    pub metrics_listen: Option<SocketAddr>,

    /// Where traces are sent by OTLP over gRPC, as `http://127.0.0.1:4317`. Unset: no traces are sent
    #[arg(long, env = "TENANTRY_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,

    /// Which part of the calls is traced whose caller says nothing of it, 0 to 1; a caller's `traceparent` decides otherwise
    #[arg(long, env = "TENANTRY_TRACE_RATIO", value_name = "RATIO", default_value = "1", hide_env_values = true,
          value_parser = ratio)]
    pub trace_ratio: f64,
}

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log, on standard error: `error`, `warn`, `info`, `debug`, `trace`, or directives as `info,tenantry=debug`
    #[arg(long, env = "TENANTRY_LOG", value_name = "FILTER", default_value = "info", hide_env_values = true)]
    pub log: String,

    /// How to write the log: `text` for people, `json` for one object a line
    #[arg(long, env = "TENANTRY_LOG_FORMAT", value_name = "FORMAT", default_value = "text", hide_env_values = true)]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
