//! Settings of the network: addresses, TLS, and limits for connections, messages and peers.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values::{DAY, duration, size};

/// Settings of the network.
#[derive(Args, Clone, Debug)]
pub struct NetworkArgs {
    /// Address and port to listen on. Port 0 picks a free port
    #[arg(
        long,
        env = "TENANTRY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        hide_env_values = true
    )]
    pub listen: SocketAddr,

    /// Whether to serve without TLS on an address that other machines can reach. API keys and passwords then cross the network unencrypted
    #[arg(long, env = "TENANTRY_ALLOW_PLAINTEXT", value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set,
          hide_env_values = true)]
    pub allow_plaintext: bool,

    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Time limit for the TLS and HTTP/2 handshakes of a new connection, 10ms to 1m
    #[arg(long, env = "TENANTRY_HANDSHAKE_TIMEOUT", value_name = "DURATION", default_value = "5s", hide_env_values = true,
          value_parser = duration::<10, 60_000>)]
    pub handshake_timeout: Duration,

    /// Maximum number of open connections. Further ones are closed at once
    #[arg(long, env = "TENANTRY_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 1024, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Maximum number of open connections per peer, an IPv4 address or an IPv6 /64 network; 0 means unlimited
    #[arg(
        long,
        env = "TENANTRY_MAX_CONNECTIONS_PER_PEER",
        value_name = "COUNT",
        default_value_t = 128,
        hide_env_values = true
    )]
    pub max_connections_per_peer: u32,

    /// Maximum number of calls in flight per connection, 1 to 65536
    #[arg(long, env = "TENANTRY_MAX_CONCURRENT_STREAMS", value_name = "COUNT", default_value_t = 128, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_concurrent_streams: u32,

    /// Maximum number of streams per connection that the server resets for client errors, 1 to 65536. One more closes the connection
    #[arg(long, env = "TENANTRY_MAX_LOCAL_RESETS", value_name = "COUNT", default_value_t = 256, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_local_resets: u32,

    /// Maximum number of calls per connection that a client resets before they begin, 1 to 65536. One more closes the connection
    #[arg(long, env = "TENANTRY_MAX_PENDING_RESETS", value_name = "COUNT", default_value_t = 20, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_pending_resets: u32,

    /// Maximum size of request metadata, as HTTP/2 counts it, 1KiB to 1MiB
    #[arg(long, env = "TENANTRY_MAX_HEADER_SIZE", value_name = "SIZE", default_value = "16KiB", hide_env_values = true,
          value_parser = size::<1, 1024>)]
    pub max_header_size: usize,

    /// Maximum size of a request message, 64KiB to 4MiB; on a stream, of each message
    #[arg(long, env = "TENANTRY_MAX_REQUEST_SIZE", value_name = "SIZE", default_value = "256KiB", hide_env_values = true,
          value_parser = size::<64, 4096>)]
    pub max_request_size: usize,

    /// Time limit for the request message to arrive after its headers, 100ms to 10m; 1s for calls without a credential
    #[arg(long, env = "TENANTRY_BODY_TIMEOUT", value_name = "DURATION", default_value = "5s", hide_env_values = true,
          value_parser = duration::<100, 600_000>)]
    pub body_timeout: Duration,

    /// Maximum size of a response message, 4MiB to 64MiB. Most clients accept 4MiB by default
    #[arg(long, env = "TENANTRY_MAX_ANSWER_SIZE", value_name = "SIZE", default_value = "4MiB", hide_env_values = true,
          value_parser = size::<4096, 65_536>)]
    pub max_answer_size: usize,

    /// Time without traffic after which the server pings a client, 100ms to 1h
    #[arg(long, env = "TENANTRY_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "30s", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub keepalive_interval: Duration,

    /// Time limit for a client to acknowledge a ping before the connection is closed, 100ms to 1h
    #[arg(long, env = "TENANTRY_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub keepalive_timeout: Duration,

    /// Age at which a connection is closed gracefully and its client reconnects, varied by up to a tenth, 0s to 30d; 0s means unlimited
    #[arg(long, env = "TENANTRY_CONNECTION_AGE", value_name = "DURATION", default_value = "30m", hide_env_values = true,
          value_parser = duration::<0, { 30 * DAY }>)]
    pub connection_age: Duration,

    /// How long calls and streams may continue on a connection that is closing, 0s to 30d
    #[arg(long, env = "TENANTRY_CONNECTION_GRACE", value_name = "DURATION", default_value = "5m", hide_env_values = true,
          value_parser = duration::<0, { 30 * DAY }>)]
    pub connection_grace: Duration,

    /// Memory for responses that are being built or that clients have not yet read, 16MiB to 4GiB
    #[arg(long, env = "TENANTRY_ANSWER_MEMORY", value_name = "SIZE", default_value = "32MiB", hide_env_values = true,
          value_parser = size::<16_384, 4_194_304>)]
    pub answer_memory: usize,

    /// Part of `--answer-memory` that one credential owner may use, 1MiB to 4GiB; an eighth of that while more than half of all is in use
    #[arg(long, env = "TENANTRY_ANSWER_MEMORY_OF_OWNER", value_name = "SIZE", default_value = "8MiB", hide_env_values = true,
          value_parser = size::<1024, 4_194_304>)]
    pub answer_memory_of_owner: usize,

    /// Maximum age of a stream without a credential (health watch, reflection), 100ms to 30d
    #[arg(long, env = "TENANTRY_PUBLIC_STREAM_AGE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<100, { 30 * DAY }>)]
    pub public_stream_age: Duration,

    /// How long a client may leave a ready response unread before its call is reset, 100ms to 1h
    #[arg(long, env = "TENANTRY_SEND_TIMEOUT", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub send_timeout: Duration,
}

/// Settings of TLS.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// Certificate chain of the server, a PEM file. If set, the port accepts only TLS
    #[arg(long, env = "TENANTRY_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key", hide_env_values = true)]
    pub tls_certificate: Option<PathBuf>,

    /// Private key of the certificate, a PEM file
    #[arg(long, env = "TENANTRY_TLS_KEY", value_name = "FILE", requires = "tls_certificate", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,

    /// CA certificates that client certificates are checked against, a PEM file. If set, clients must present a certificate
    #[arg(
        long,
        env = "TENANTRY_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_certificate",
        hide_env_values = true
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// Minimum TLS version, `1.2` or `1.3`
    #[arg(
        long,
        env = "TENANTRY_TLS_MIN_VERSION",
        value_name = "VERSION",
        default_value = "1.2",
        hide_env_values = true
    )]
    pub tls_min_version: TlsVersion,

    /// How often the TLS files are checked for changes, 10ms to 1d. New files apply to new connections
    #[arg(long, env = "TENANTRY_TLS_RELOAD_INTERVAL", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<10, DAY>)]
    pub tls_reload_interval: Duration,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsVersion {
    /// RFC 5246.
    #[value(name = "1.2")]
    Tls12,
    /// RFC 8446.
    #[value(name = "1.3")]
    Tls13,
}

impl NetworkArgs {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// A one-line message for the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.tls.tls_certificate.is_none() && !self.listen.ip().is_loopback() && !self.allow_plaintext {
            return Err(format!(
                "{} can be reached from other machines, and TLS is not configured: set --tls-certificate and --tls-key, or allow \
                 plaintext with --allow-plaintext true",
                self.listen
            ));
        }
        Ok(())
    }
}
