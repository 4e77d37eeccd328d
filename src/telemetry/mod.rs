//! Telemetry: logs to standard error, traces to a collector, metrics on request. Standard output is reserved for the results of commands.

mod log;
pub mod metrics;
pub mod trace;

use std::{io, panic, time::Duration};

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use self::log::Line;
use crate::config::{DRIVER_LOG, LogArgs, TelemetryArgs};

/// Maximum time at shutdown to send the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Libraries that log payloads below this level: statement parameters, bytes of connections.
const MUTED: [&str; 4] = [DRIVER_LOG, "h2=info", "hyper=info", "rustls=info"];

tokio::task_local! {
    /// The id of the call that the task is answering.
    pub static REQUEST_ID: String;
}

/// The id of the current call; empty outside of a call.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Telemetry to shut down with the process.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Sets up logging for the process.
///
/// # Errors
/// A one-line description of what is wrong with the settings.
pub fn init(args: &LogArgs) -> Result<(), String> {
    with_log(args, io::stderr)?.try_init().map_err(|error| format!("the log cannot be set up: {error}"))
}

/// Sets up logging and tracing for a server process.
///
/// # Errors
/// A one-line description of what is wrong with the settings.
pub fn init_serving(args: &TelemetryArgs) -> Result<Telemetry, String> {
    let provider = trace::provider(args)?;
    // Any layer without a filter, even `None`, would cause the spans of all libraries to be created.
    let initialized = match &provider {
        None => with_log(&args.log, io::stderr)?.try_init(),
        Some(provider) => {
            let log = Line::layer(args.log.log_format, io::stderr).with_filter(filter(&args.log)?);
            tracing_subscriber::registry().with(log).with(trace::layer(provider)).try_init()
        }
    };
    initialized.map_err(|error| format!("the log cannot be set up: {error}"))?;
    // One log line, instead of the default text of several lines.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, payload, "panicked");
    }));
    Ok(Telemetry(provider))
}

/// A log that writes to `writer`.
///
/// # Errors
/// A one-line description of what is wrong with the settings.
pub fn with_log<W>(args: &LogArgs, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, String>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    Ok(tracing_subscriber::registry().with(filter(args)?).with(Line::layer(args.log_format, writer)))
}

fn filter(args: &LogArgs) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log: {error}"))?;
    for muted in MUTED {
        filter = filter.add_directive(muted.parse().map_err(|error| format!("{muted}: {error}"))?);
    }
    Ok(filter)
}

impl Telemetry {
    /// Sends the remaining spans, within a short time.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let shutdown = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS));
        if let Ok(Ok(Err(error))) = tokio::time::timeout(LAST_SPANS, shutdown).await {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}
