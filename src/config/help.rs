//! The settings as help for a terminal, and as the tables of `docs/settings.md`.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::Cli;

/// The groups of settings, each with its first option.
const GROUPS: [(&str, &str); 11] = [
    ("listen", "Network"),
    ("handshake-timeout", "Connections and messages"),
    ("database-url", "Database and secrets"),
    ("request-timeout", "Calls and shutdown"),
    ("restore-window", "Lifetimes and retention"),
    ("watch-heartbeat", "Streams"),
    ("max-calls", "Limits"),
    ("plans", "Organizations"),
    ("usage-interval", "API keys"),
    ("token-issuer", "Signing in"),
    ("reflection", "Reflection, log, metrics and traces"),
];

/// The command line, with the settings of `serve` in groups.
pub fn command() -> Command {
    Cli::command().mut_subcommand("serve", |serve| {
        let mut group = None;
        serve.mut_args(move |arg| {
            let starts = GROUPS.iter().find(|(first, _)| arg.get_long() == Some(first));
            group = starts.map(|(_, name)| *name).or(group);
            match group {
                Some(group) if arg.get_id() != "help" => arg.help_heading(group),
                _ => arg,
            }
        })
    })
}

/// All settings as Markdown, with a heading and a table for each group.
pub fn settings() -> String {
    let command = command();
    let mut text = String::new();
    let mut group = None;
    for arg in command.find_subcommand("serve").into_iter().flat_map(Command::get_arguments) {
        if arg.get_help_heading() != group {
            group = arg.get_help_heading();
            // Writing to a `String` cannot fail.
            let _ = write!(
                text,
                "\n## {}\n\n| Option | Variable | Default | Meaning |\n| --- | --- | --- | --- |\n",
                group.unwrap_or_default()
            );
        }
        text.push_str(&row(arg).unwrap_or_default());
    }
    text
}

fn row(arg: &Arg) -> Option<String> {
    let (long, env) = (arg.get_long()?, arg.get_env()?.to_string_lossy());
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = if default.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) };
    let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
    Some(format!("| `--{long} {value}` | `{env}` | {default} | {meaning} |\n"))
}
