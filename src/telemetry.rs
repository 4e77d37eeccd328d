//! The log, on standard error. Standard output belongs to what commands answer.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogArgs, LogFormat};

/// Sets the log up for the process.
///
/// # Errors
/// Says in one line what is wrong with the settings.
pub fn init(args: &LogArgs) -> Result<(), String> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|error| format!("the log cannot be set up: {error}"))
}
