//! What the service tells of itself: the log, on standard error; traces, to a collector; metrics, to whoever asks. Standard output
//! belongs to what commands answer.

mod log;
pub mod metrics;
pub mod port;
pub mod trace;

use std::{io, panic, time::Duration};

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    layer::{Layered, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use self::log::Line;
use crate::{
    config::{LogArgs, TelemetryArgs},
    db,
};

/// How long a process that stops may take to send the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Libraries that write down what goes through them below this level: values of statements, bytes of connections.
const MUTED: [&str; 4] = [db::DRIVER_LOG, "h2=info", "hyper=info", "rustls=info"];

tokio::task_local! {
    /// The id of the call that the task answers.
    pub static REQUEST_ID: String;
}

/// The id of the call that is being answered; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// What has to be ended with the process.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Sets the log up for the process.
///
/// # Errors
/// Says in one line what is wrong with the settings.
pub fn init(args: &LogArgs) -> Result<(), String> {
    with_log(args, io::stderr)?.try_init().map_err(|error| format!("the log cannot be set up: {error}"))
}

/// Sets log and traces up for a process that serves.
///
/// # Errors
/// Says in one line what is wrong with the settings.
pub fn init_serving(args: &TelemetryArgs) -> Result<Telemetry, String> {
    let provider = trace::provider(args)?;
    let layer = provider.as_ref().map(trace::layer);
    let subscriber = with_log(&args.log, io::stderr)?.with(layer);
    subscriber.try_init().map_err(|error| format!("the log cannot be set up: {error}"))?;
    // As a line like any other, and not as text of several.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, payload, "a panic");
    }));
    Ok(Telemetry(provider))
}

/// A log that is written somewhere.
///
/// # Errors
/// Says in one line what is wrong with the settings.
pub fn with_log<W>(
    args: &LogArgs,
    writer: W,
) -> Result<Layered<impl tracing_subscriber::Layer<Registry>, Registry>, String>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let mut filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log: {error}"))?;
    for muted in MUTED {
        filter = filter.add_directive(muted.parse().map_err(|error| format!("{muted}: {error}"))?);
    }
    let layer = tracing_subscriber::fmt::layer().event_format(Line::new(args.log_format)).with_writer(writer);
    Ok(tracing_subscriber::registry().with(layer.with_filter(filter)))
}

impl Telemetry {
    /// Sends what has not been sent, for a short while.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let shutdown = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS));
        if let Ok(Ok(Err(error))) = tokio::time::timeout(LAST_SPANS, shutdown).await {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}
