//! The command line and the settings. Each setting is an option of `tenantry serve` and an environment variable; the table
//! of them is `tenantry serve --help`, which `docs/settings.md` repeats.

pub(crate) mod authentication;
mod network;
mod secrets;
mod telemetry;
mod values;

use std::{env, ffi::OsStr, fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::values::{DAY, DatabaseUrlParser, duration, positive};
pub use self::{
    authentication::{
        AlgorithmName, AuthenticationArgs, CalibrateArgs, HashCommand, RotateArgs, SigningKeysArgs, SigningKeysCommand,
    },
    network::{NetworkArgs, TlsArgs, TlsVersion},
    secrets::{SealingArgs, SecretPrefixArgs},
    telemetry::{DRIVER_LOG, LogArgs, LogFormat, TelemetryArgs},
    values::{ByteSize, DatabaseUrl, SecretText},
};

/// The prefix of every variable.
pub const ENV_PREFIX: &str = "TENANTRY_";
/// Variables that only tests read.
const TEST_PREFIX: &str = "TENANTRY_TEST_";

/// The identity core of a multi-tenant SaaS as one gRPC binary.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, about, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API.
    ///
    /// The database is brought to the newest schema first. On an empty database the first start creates a platform admin
    /// and prints its API key, once.
    Serve(Box<ServeArgs>),
    /// Bring the database to the newest schema and stop.
    Migrate(Box<MigrateArgs>),
    /// Manage platform admins from the machine that the database is on.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Look at the keys that access tokens are signed with, and replace them.
    #[command(subcommand)]
    SigningKeys(SigningKeysCommand),
    /// Measure what hashing passwords costs.
    #[command(subcommand)]
    Hash(HashCommand),
    /// Try a running service from outside.
    #[command(subcommand)]
    Selftest(SelftestCommand),
}

/// What can be done about platform admins.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create a platform admin, or make an existing user one with --existing. Standard output carries the new API key and nothing else.
    Create(Box<AdminCreateArgs>),
}

/// What can be tried.
#[derive(Debug, Subcommand)]
pub enum SelftestCommand {
    /// Try to get from one tenant into another, through every method that reflection shows.
    ///
    /// It makes two throw-away organizations, some users around them and one more organization for each method that changes something,
    /// calls every method as every kind of caller with own, foreign and missing ids, prints a table, removes what it made, and ends with
    /// a failure if anything leaks or could not be tried. What it did stays in the events.
    Isolation(IsolationArgs),
}

/// Settings of `tenantry selftest isolation`.
#[derive(Args, Clone, Debug)]
pub struct IsolationArgs {
    /// Where the service is, as `http://127.0.0.1:50051`, or `https://` where it speaks TLS
    #[arg(long, value_name = "URL")]
    pub endpoint: String,

    /// The authority that vouches for the certificate of the service, in PEM; without it, those of the system
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The API key of a platform admin, with all scopes. As a variable it is in no list of processes
    #[arg(long, env = "TENANTRY_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: SecretText,
}

/// Where the database is and how it is used.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database: `sqlite:FILE`, or `postgres://USER:PASSWORD@HOST/NAME`
    #[arg(long, env = "TENANTRY_DATABASE_URL", value_name = "URL", default_value = "sqlite:data/tenantry.db", hide_env_values = true,
          value_parser = DatabaseUrlParser)]
    pub database_url: DatabaseUrl,

    /// Connections for transactions on PostgreSQL, and for reads on SQLite, which writes through one connection
    #[arg(long, env = "TENANTRY_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 16, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,

    /// Shared connections on which PostgreSQL reads are pipelined
    #[arg(long, env = "TENANTRY_DATABASE_READ_CONNECTIONS", value_name = "COUNT", default_value_t = 2, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub database_read_connections: u32,

    /// How long a call waits for a connection or for a lock of the database, 10ms to 60s
    #[arg(long, env = "TENANTRY_DATABASE_TIMEOUT", value_name = "DURATION", default_value = "2s", hide_env_values = true,
          value_parser = duration::<10, 60_000>)]
    pub database_timeout: Duration,
}

/// Settings of `tenantry serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The network.
    #[command(flatten)]
    pub network: NetworkArgs,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The key ring.
    #[command(flatten)]
    pub sealing: SealingArgs,

    /// What secrets begin with.
    #[command(flatten)]
    pub secrets: SecretPrefixArgs,

    /// How long a call may take, 100ms to 10m
    #[arg(long, env = "TENANTRY_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<100, 600_000>)]
    pub request_timeout: Duration,

    /// How long a statement may take on PostgreSQL, less than a call, 10ms to 10m; without it four fifths of that
    #[arg(long, env = "TENANTRY_STATEMENT_TIMEOUT", value_name = "DURATION", hide_env_values = true,
          value_parser = duration::<10, 600_000>)]
    pub statement_timeout: Option<Duration>,

    /// How long a server that stops still takes calls after it says so in its health, 0s to 10m: as long as those in front of it need to
    /// see it
    #[arg(long, env = "TENANTRY_SHUTDOWN_DELAY", value_name = "DURATION", default_value = "0s", hide_env_values = true,
          value_parser = duration::<0, 600_000>)]
    pub shutdown_delay: Duration,

    /// How long a shutdown waits for calls in flight, 0s to 10m
    #[arg(long, env = "TENANTRY_SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<0, 600_000>)]
    pub shutdown_timeout: Duration,

    /// How long a deleted user or organization can be restored, 0s to 3650d
    #[arg(long, env = "TENANTRY_RESTORE_WINDOW", value_name = "DURATION", default_value = "30d", hide_env_values = true,
          value_parser = duration::<0, { 3650 * DAY }>)]
    pub restore_window: Duration,

    /// How long a refresh token lasts that is not rotated, 1m to 3650d
    #[arg(long, env = "TENANTRY_REFRESH_TOKEN_LIFE", value_name = "DURATION", default_value = "30d", hide_env_values = true,
          value_parser = duration::<60_000, { 3650 * DAY }>)]
    pub refresh_token_life: Duration,

    /// How long a session lasts, however often its token is rotated, 1m to 3650d
    #[arg(long, env = "TENANTRY_SESSION_LIFE", value_name = "DURATION", default_value = "90d", hide_env_values = true,
          value_parser = duration::<60_000, { 3650 * DAY }>)]
    pub session_life: Duration,

    /// How long a rotated refresh token is answered again with the same, still unused successor instead of being taken for
    /// stolen, 0s to 10s
    #[arg(long, env = "TENANTRY_ROTATION_GRACE", value_name = "DURATION", default_value = "0s", hide_env_values = true,
          value_parser = duration::<0, 10_000>)]
    pub rotation_grace: Duration,

    /// How long a request with a `request_id` is answered as the first time, 1m to 30d
    #[arg(long, env = "TENANTRY_REQUEST_MEMORY", value_name = "DURATION", default_value = "1d", hide_env_values = true,
          value_parser = duration::<60_000, { 30 * DAY }>)]
    pub request_memory: Duration,

    /// How long events are kept, 1h to 3650d
    #[arg(long, env = "TENANTRY_EVENT_RETENTION", value_name = "DURATION", default_value = "365d", hide_env_values = true,
          value_parser = duration::<3_600_000, { 3650 * DAY }>)]
    pub event_retention: Duration,

    /// How often what is past its time is removed, 0s to 1d; 0s never does
    #[arg(long, env = "TENANTRY_SWEEP_INTERVAL", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<0, DAY>)]
    pub sweep_interval: Duration,

    /// How long a WatchEvents is silent before it sends a heartbeat, 10ms to 5m
    #[arg(long, env = "TENANTRY_WATCH_HEARTBEAT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<10, 300_000>)]
    pub watch_heartbeat: Duration,

    /// How long a stream waits for its client to take a message before it ends, 10ms to 5m
    #[arg(long, env = "TENANTRY_STREAM_TIMEOUT", value_name = "DURATION", default_value = "30s", hide_env_values = true,
          value_parser = duration::<10, 300_000>)]
    pub stream_timeout: Duration,

    /// How many streams may be open at once; one owner of credentials may open a tenth of them. A slow one holds up to 3 MiB
    #[arg(long, env = "TENANTRY_MAX_STREAMS", value_name = "COUNT", default_value_t = 200, hide_env_values = true)]
    pub max_streams: usize,

    // Twice as many as keep two cores busy: with more, each only waits longer.
    /// How many calls may be in flight at once, a quarter of them of one owner; further ones are refused and may be repeated
    #[arg(long, env = "TENANTRY_MAX_CALLS", value_name = "COUNT", default_value_t = 128, hide_env_values = true,
          value_parser = positive)]
    pub max_calls: usize,

    /// How many calls a second one owner may make with all API keys and sessions that say nothing else; 0 for any number. Platform admins
    /// may make any number
    #[arg(long, env = "TENANTRY_RATE_LIMIT", value_name = "COUNT", default_value_t = 1000, hide_env_values = true)]
    pub rate_limit: u32,

    /// How many API keys that are not revoked an organization or a user may have; 0 for any number
    #[arg(long, env = "TENANTRY_MAX_API_KEYS", value_name = "COUNT", default_value_t = 1000, hide_env_values = true)]
    pub max_api_keys: u32,

    /// How many members an organization may have; 0 for any number
    #[arg(long, env = "TENANTRY_MAX_MEMBERS", value_name = "COUNT", default_value_t = 0, hide_env_values = true)]
    pub max_members: u32,

    /// How many organizations that are not deleted a user may own by what tenants do themselves; platform admins may make a user the
    /// owner of more; 0 for any number
    #[arg(
        long,
        env = "TENANTRY_MAX_ORGANIZATIONS",
        value_name = "COUNT",
        default_value_t = 100,
        hide_env_values = true
    )]
    pub max_organizations: u32,

    /// How many requests with a `request_id` are remembered for an owner of credentials in the time of `--request-memory`, on each
    /// process; for platform admins any number; 0 for any number
    #[arg(
        long,
        env = "TENANTRY_MAX_REMEMBERED",
        value_name = "COUNT",
        default_value_t = 100_000,
        hide_env_values = true
    )]
    pub max_remembered: u32,

    /// How often it is written when API keys were last used, and how coarse that is, 10ms to 1d
    #[arg(long, env = "TENANTRY_USAGE_INTERVAL", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<10, DAY>)]
    pub usage_interval: Duration,

    /// How much memory the check of API keys may take for keys that it knows, 1MiB to 64GiB
    #[arg(
        long,
        env = "TENANTRY_CREDENTIAL_CACHE",
        value_name = "SIZE",
        default_value = "64MiB",
        hide_env_values = true
    )]
    pub credential_cache: ByteSize,

    /// Signing in.
    #[command(flatten)]
    pub authentication: AuthenticationArgs,

    /// Whether to serve reflection, which grpcurl needs
    #[arg(long, env = "TENANTRY_REFLECTION", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, hide_env_values = true)]
    pub reflection: bool,

    /// Log, metrics and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// Settings of `tenantry migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Settings of `tenantry admin create`.
#[derive(Args, Clone, Debug)]
pub struct AdminCreateArgs {
    /// E-mail of the admin. A user who has it already is refused without --existing
    #[arg(long, value_name = "E-MAIL")]
    pub email: String,

    /// Make the user who has this e-mail a platform admin. The e-mail must be verified; the user's API keys and sessions end
    #[arg(long)]
    pub existing: bool,

    /// Name of the admin
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// What secrets begin with, as the server has it.
    #[command(flatten)]
    pub secrets: SecretPrefixArgs,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The command line, with the table of settings as the help of `serve`.
pub fn command() -> clap::Command {
    Cli::command().mut_subcommand("serve", |serve| {
        let help = format!(
            "{}\n\nUsage: tenantry serve [OPTIONS]\n\n{}",
            serve.get_long_about().map(ToString::to_string).unwrap_or_default(),
            settings_table(&serve),
        );
        serve.override_help(help)
    })
}

/// Reads the command line, or ends the process with help or an error.
pub fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// Every setting in one table.
fn settings_table(serve: &clap::Command) -> String {
    let mut table = "| Option | Variable | Default | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for arg in serve.get_arguments() {
        let (Some(long), Some(env)) = (arg.get_long(), arg.get_env()) else { continue };
        let value = arg.get_value_names().unwrap_or_default().join(" ");
        let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if default.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) };
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        // Writing to a text does not fail.
        let _ = writeln!(table, "| `--{long} {value}` | `{}` | {default} | {meaning} |", env.to_string_lossy());
    }
    table
}

/// The first variable of the environment with our prefix that is no setting: a typo must not be ignored.
pub fn unknown_variable() -> Option<String> {
    let cli = Cli::command();
    let nested = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
    let commands = cli.get_subcommands().chain(nested);
    let known: Vec<&OsStr> = commands.flat_map(clap::Command::get_arguments).filter_map(Arg::get_env).collect();
    env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_os_str()))
        .map(|name| name.to_string_lossy().into_owned())
        .find(|name| name.starts_with(ENV_PREFIX) && !name.starts_with(TEST_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn a_password_in_a_url_never_prints() {
        let url: DatabaseUrl = "postgres://me:canary@host/db".parse().unwrap();
        assert!(!format!("{url:?}").contains("canary"));
        let error = "mysql://me:canary@host/db".parse::<DatabaseUrl>().unwrap_err();
        assert!(!error.contains("canary"));
    }

    #[test]
    fn a_database_in_memory_is_refused() {
        for url in ["sqlite:", "sqlite::memory:", "sqlite:file?mode=memory", "data/tenantry.db"] {
            assert!(url.parse::<DatabaseUrl>().is_err(), "{url}");
        }
    }

    #[test]
    fn every_setting_has_an_option_and_a_variable_of_one_name() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        for arg in serve.get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = arg.get_long().unwrap();
            let env = arg.get_env().unwrap().to_str().unwrap();
            assert_eq!(env, format!("{ENV_PREFIX}{}", long.to_uppercase().replace('-', "_")));
        }
    }
}
