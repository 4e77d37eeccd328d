//! The log, on standard error, and the id of the call that a line belongs to. Standard output belongs to what commands
//! answer.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogArgs, LogFormat};

tokio::task_local! {
    /// The id of the call that the task answers.
    pub static REQUEST_ID: String;
}

/// The id of the call that is being answered; empty outside of one.
pub fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

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
