//! The command line and the settings. Each setting is an option of `tenantry serve` and an environment variable.
//! `tenantry serve --help` prints them, and `docs/settings.md` lists them.

pub(crate) mod authentication;
mod help;
mod network;
mod organizations;
mod secrets;
mod telemetry;
mod values;

use std::{env, ffi::OsStr, path::PathBuf, time::Duration};

use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::values::{DAY, DatabaseUrlParser, duration, positive};
pub use self::{
    authentication::{
        AlgorithmName, AuthenticationArgs, CalibrateArgs, HashCommand, RotateArgs, SigningKeysArgs, SigningKeysCommand,
    },
    help::{command, settings},
    network::{NetworkArgs, TlsArgs, TlsVersion},
    organizations::OrganizationArgs,
    secrets::{SealingArgs, SecretPrefixArgs},
    telemetry::{DRIVER_LOG, LogArgs, LogFormat, TelemetryArgs},
    values::{ByteSize, DatabaseUrl, SecretText},
};

/// Prefix of all environment variables.
pub const ENV_PREFIX: &str = "TENANTRY_";
/// Prefix of variables that only tests read.
const TEST_PREFIX: &str = "TENANTRY_TEST_";

/// The identity core of a multi-tenant SaaS as one gRPC binary.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, about, max_term_width = 120)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API.
    ///
    /// Migrates the schema first. The first start on an empty database creates a platform admin and prints its API key once.
    Serve(Box<ServeArgs>),
    /// Migrate the schema and exit.
    Migrate(Box<MigrateArgs>),
    /// Manage platform admins, directly in the database.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// List or rotate the keys that sign access tokens.
    #[command(subcommand)]
    SigningKeys(SigningKeysCommand),
    /// Measure the cost of password hashing.
    #[command(subcommand)]
    Hash(HashCommand),
    /// Test a running service from outside.
    #[command(subcommand)]
    Selftest(SelftestCommand),
}

/// Commands for platform admins.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Create a platform admin, or promote an existing user with --existing. Prints only the new API key to standard output.
    Create(Box<AdminCreateArgs>),
}

/// Commands for tests of a running service.
#[derive(Debug, Subcommand)]
pub enum SelftestCommand {
    /// Test the isolation of tenants through every method that reflection lists.
    ///
    /// Creates two throw-away organizations with users, and one more organization for each method that changes data. Calls every
    /// method as every kind of caller with own, foreign and missing ids, prints a table and deletes everything that it created. Fails
    /// if anything leaks or could not be tested. Its events remain.
    Isolation(IsolationArgs),
}

/// Settings of `tenantry selftest isolation`.
#[derive(Args, Clone, Debug)]
pub struct IsolationArgs {
    /// URL of the service, such as `http://127.0.0.1:50051`; `https://` if it uses TLS
    #[arg(long, value_name = "URL")]
    pub endpoint: String,

    /// CA certificate for the service's certificate, a PEM file. Unset: the system's roots
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Also print how each kind of caller is answered
    #[arg(long)]
    pub by_caller: bool,

    /// API key of a platform admin, with all scopes. Set the variable to keep the key out of process lists
    #[arg(long, env = "TENANTRY_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub api_key: SecretText,
}

/// Settings of the database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// Database: `sqlite:FILE`, or `postgres://USER:PASSWORD@HOST/NAME`
    #[arg(long, env = "TENANTRY_DATABASE_URL", value_name = "URL", default_value = "sqlite:data/tenantry.db", hide_env_values = true,
          value_parser = DatabaseUrlParser)]
    pub database_url: DatabaseUrl,

    /// Number of pooled connections, 1 to 1000: for transactions on PostgreSQL, for reads on SQLite, which writes through one connection
    #[arg(long, env = "TENANTRY_DATABASE_CONNECTIONS", value_name = "COUNT", default_value_t = 16, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,

    /// Number of shared PostgreSQL connections for pipelined reads, 1 to 64
    #[arg(long, env = "TENANTRY_DATABASE_READ_CONNECTIONS", value_name = "COUNT", default_value_t = 2, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub database_read_connections: u32,

    /// How long a call waits for a database connection or lock, 10ms to 60s
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

    /// The prefixes of secrets.
    #[command(flatten)]
    pub secrets: SecretPrefixArgs,

    /// Time limit for a call, 100ms to 10m
    #[arg(long, env = "TENANTRY_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<100, 600_000>)]
    pub request_timeout: Duration,

    /// Time limit for a PostgreSQL statement, 10ms to 10m, less than `--request-timeout`. Unset: four fifths of it
    #[arg(long, env = "TENANTRY_STATEMENT_TIMEOUT", value_name = "DURATION", hide_env_values = true,
          value_parser = duration::<10, 600_000>)]
    pub statement_timeout: Option<Duration>,

    /// How long a stopping server accepts calls after its health status becomes NOT_SERVING, 0s to 10m. Set it to the time that load
    /// balancers take to notice
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

    /// Lifetime of a refresh token that is not rotated, 1m to 3650d
    #[arg(long, env = "TENANTRY_REFRESH_TOKEN_LIFE", value_name = "DURATION", default_value = "30d", hide_env_values = true,
          value_parser = duration::<60_000, { 3650 * DAY }>)]
    pub refresh_token_life: Duration,

    /// Maximum lifetime of a session, regardless of rotation, 1m to 3650d
    #[arg(long, env = "TENANTRY_SESSION_LIFE", value_name = "DURATION", default_value = "90d", hide_env_values = true,
          value_parser = duration::<60_000, { 3650 * DAY }>)]
    pub session_life: Duration,

    /// How long a rotated refresh token returns the same unused successor again instead of counting as stolen, 0s to 10s
    #[arg(long, env = "TENANTRY_ROTATION_GRACE", value_name = "DURATION", default_value = "0s", hide_env_values = true,
          value_parser = duration::<0, 10_000>)]
    pub rotation_grace: Duration,

    /// How long a call that repeats a `request_id` returns the first answer, 1m to 30d
    #[arg(long, env = "TENANTRY_REQUEST_MEMORY", value_name = "DURATION", default_value = "1d", hide_env_values = true,
          value_parser = duration::<60_000, { 30 * DAY }>)]
    pub request_memory: Duration,

    /// How long events are kept, 1h to 3650d
    #[arg(long, env = "TENANTRY_EVENT_RETENTION", value_name = "DURATION", default_value = "365d", hide_env_values = true,
          value_parser = duration::<3_600_000, { 3650 * DAY }>)]
    pub event_retention: Duration,

    /// How often expired data is deleted, 0s to 1d; 0s disables deletion
    #[arg(long, env = "TENANTRY_SWEEP_INTERVAL", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<0, DAY>)]
    pub sweep_interval: Duration,

    /// How long a WatchEvents stream is silent before it sends a heartbeat, 10ms to 5m
    #[arg(long, env = "TENANTRY_WATCH_HEARTBEAT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<10, 300_000>)]
    pub watch_heartbeat: Duration,

    /// How long a stream waits for its client to accept a message before it ends, 10ms to 5m
    #[arg(long, env = "TENANTRY_STREAM_TIMEOUT", value_name = "DURATION", default_value = "30s", hide_env_values = true,
          value_parser = duration::<10, 300_000>)]
    pub stream_timeout: Duration,

    /// Maximum number of open streams. One credential owner may open a tenth of them. A slow stream holds up to 3 MiB
    #[arg(long, env = "TENANTRY_MAX_STREAMS", value_name = "COUNT", default_value_t = 200, hide_env_values = true)]
    pub max_streams: usize,

    // The default is twice the number that keeps two cores busy: with more, each call only waits longer.
    /// Maximum number of calls in flight. One credential owner may have a quarter of them. Further calls are refused and can be retried
    #[arg(long, env = "TENANTRY_MAX_CALLS", value_name = "COUNT", default_value_t = 128, hide_env_values = true,
          value_parser = positive)]
    pub max_calls: usize,

    /// Maximum calls per second of one credential owner, over all API keys and sessions without a limit of their own; 0 means unlimited.
    /// Platform admins are exempt
    #[arg(long, env = "TENANTRY_RATE_LIMIT", value_name = "COUNT", default_value_t = 1000, hide_env_values = true)]
    pub rate_limit: u32,

    /// Maximum number of API keys per user or organization, not counting revoked ones; 0 means unlimited
    #[arg(long, env = "TENANTRY_MAX_API_KEYS", value_name = "COUNT", default_value_t = 1000, hide_env_values = true)]
    pub max_api_keys: u32,

    /// Maximum number of members per organization; 0 means unlimited
    #[arg(long, env = "TENANTRY_MAX_MEMBERS", value_name = "COUNT", default_value_t = 0, hide_env_values = true)]
    pub max_members: u32,

    /// Maximum number of organizations a user may own, not counting deleted ones; 0 means unlimited. Platform admins can exceed it for a
    /// user
    #[arg(
        long,
        env = "TENANTRY_MAX_ORGANIZATIONS",
        value_name = "COUNT",
        default_value_t = 100,
        hide_env_values = true
    )]
    pub max_organizations: u32,

    /// Maximum number of calls with a `request_id` that are remembered per credential owner within `--request-memory`, by each process; 0
    /// means unlimited. Platform admins are exempt
    #[arg(
        long,
        env = "TENANTRY_MAX_REMEMBERED",
        value_name = "COUNT",
        default_value_t = 100_000,
        hide_env_values = true
    )]
    pub max_remembered: u32,

    /// Organizations.
    #[command(flatten)]
    pub organizations: OrganizationArgs,

    /// How often the last use of API keys is written, and thereby its precision, 10ms to 1d
    #[arg(long, env = "TENANTRY_USAGE_INTERVAL", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<10, DAY>)]
    pub usage_interval: Duration,

    /// Memory for cached API keys, 1MiB to 64GiB
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

    /// Whether to serve gRPC reflection, which grpcurl needs
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
    /// E-mail of the admin. If a user has it already, the command fails without --existing
    #[arg(long, value_name = "E-MAIL")]
    pub email: String,

    /// Make the user who has this e-mail a platform admin. The e-mail must be verified. The user's API keys and sessions end
    #[arg(long)]
    pub existing: bool,

    /// Name of the admin
    #[arg(long, value_name = "NAME")]
    pub name: String,

    /// The prefixes of secrets, as on the server.
    #[command(flatten)]
    pub secrets: SecretPrefixArgs,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Parses the command line. Exits the process for help and on errors.
pub fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// The first environment variable with our prefix that is not a setting: a typo must not be ignored.
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
