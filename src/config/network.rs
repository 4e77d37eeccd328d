//! The settings of the network: where calls come from, with what encryption, and how much of everything a peer may take.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values::{DAY, duration, size};

/// Settings of the network.
#[derive(Args, Clone, Debug)]
pub struct NetworkArgs {
    /// Address and port to serve on; port 0 takes a free one
    #[arg(
        long,
        env = "TENANTRY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:50051",
        hide_env_values = true
    )]
    pub listen: SocketAddr,

    /// Whether to serve without TLS on an address that other machines reach: keys and passwords then cross the network as they are
    #[arg(long, env = "TENANTRY_ALLOW_PLAINTEXT", value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set,
          hide_env_values = true)]
    pub allow_plaintext: bool,

    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// How long a new connection may take for the TLS handshake and the beginning of HTTP/2, 10ms to 1m
    #[arg(long, env = "TENANTRY_HANDSHAKE_TIMEOUT", value_name = "DURATION", default_value = "5s", hide_env_values = true,
          value_parser = duration::<10, 60_000>)]
    pub handshake_timeout: Duration,

    /// How many connections may be open at once; further ones are closed as they come
    #[arg(long, env = "TENANTRY_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 1024, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// How many of them one address may have, or one IPv6 network of 64 bits; 0 for any number
    #[arg(
        long,
        env = "TENANTRY_MAX_CONNECTIONS_PER_PEER",
        value_name = "COUNT",
        default_value_t = 128,
        hide_env_values = true
    )]
    pub max_connections_per_peer: u32,

    /// How many calls may be in flight on one connection
    #[arg(long, env = "TENANTRY_MAX_CONCURRENT_STREAMS", value_name = "COUNT", default_value_t = 128, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_concurrent_streams: u32,

    /// How many streams of one connection the server resets, because of what the client did, before it closes the connection
    #[arg(long, env = "TENANTRY_MAX_LOCAL_RESETS", value_name = "COUNT", default_value_t = 256, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_local_resets: u32,

    /// How many calls of one connection may be reset before they began, before the server closes the connection
    #[arg(long, env = "TENANTRY_MAX_PENDING_RESETS", value_name = "COUNT", default_value_t = 20, hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_pending_resets: u32,

    /// How large the metadata of a request may be, as HTTP/2 counts it, 1KiB to 1MiB
    #[arg(long, env = "TENANTRY_MAX_HEADER_SIZE", value_name = "SIZE", default_value = "16KiB", hide_env_values = true,
          value_parser = size::<1, 1024>)]
    pub max_header_size: usize,

    /// How large a request message may be, 64KiB to 4MiB; of a stream, each of them
    #[arg(long, env = "TENANTRY_MAX_REQUEST_SIZE", value_name = "SIZE", default_value = "256KiB", hide_env_values = true,
          value_parser = size::<64, 4096>)]
    pub max_request_size: usize,

    /// How long the message of a request may take to come after its headers, 100ms to 10m; without a credential it has 1s
    #[arg(long, env = "TENANTRY_BODY_TIMEOUT", value_name = "DURATION", default_value = "5s", hide_env_values = true,
          value_parser = duration::<100, 600_000>)]
    pub body_timeout: Duration,

    /// How large a message of an answer may be, 4MiB to 64MiB; clients take 4MiB by default
    #[arg(long, env = "TENANTRY_MAX_ANSWER_SIZE", value_name = "SIZE", default_value = "4MiB", hide_env_values = true,
          value_parser = size::<4096, 65_536>)]
    pub max_answer_size: usize,

    /// After how long without a word a client is asked whether it is there, 100ms to 1h
    #[arg(long, env = "TENANTRY_KEEPALIVE_INTERVAL", value_name = "DURATION", default_value = "30s", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub keepalive_interval: Duration,

    /// How long it may take to answer that, 100ms to 1h
    #[arg(long, env = "TENANTRY_KEEPALIVE_TIMEOUT", value_name = "DURATION", default_value = "10s", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub keepalive_timeout: Duration,

    /// How long a connection is used, a tenth more or less, before its client is asked to open another one, 0s to 30d; 0s for ever
    #[arg(long, env = "TENANTRY_CONNECTION_AGE", value_name = "DURATION", default_value = "30m", hide_env_values = true,
          value_parser = duration::<0, { 30 * DAY }>)]
    pub connection_age: Duration,

    /// How long its calls and streams may go on after that, 0s to 30d
    #[arg(long, env = "TENANTRY_CONNECTION_GRACE", value_name = "DURATION", default_value = "5m", hide_env_values = true,
          value_parser = duration::<0, { 30 * DAY }>)]
    pub connection_grace: Duration,

    /// How many bytes of answers may be held that are being made or that their clients have not taken, 16MiB to 4GiB
    #[arg(long, env = "TENANTRY_ANSWER_MEMORY", value_name = "SIZE", default_value = "64MiB", hide_env_values = true,
          value_parser = size::<16_384, 4_194_304>)]
    pub answer_memory: usize,

    /// How many of them may be those of one owner of credentials, 1MiB to 4GiB; an eighth of it while more than half of all are held
    #[arg(long, env = "TENANTRY_ANSWER_MEMORY_OF_OWNER", value_name = "SIZE", default_value = "8MiB", hide_env_values = true,
          value_parser = size::<1024, 4_194_304>)]
    pub answer_memory_of_owner: usize,

    /// How long a stream without a credential lasts, a watch of the health or reflection, 100ms to 30d
    #[arg(long, env = "TENANTRY_PUBLIC_STREAM_AGE", value_name = "DURATION", default_value = "10m", hide_env_values = true,
          value_parser = duration::<100, { 30 * DAY }>)]
    pub public_stream_age: Duration,

    /// How long a client may take nothing of an answer that is there before its call is reset, 100ms to 1h
    #[arg(long, env = "TENANTRY_SEND_TIMEOUT", value_name = "DURATION", default_value = "1m", hide_env_values = true,
          value_parser = duration::<100, 3_600_000>)]
    pub send_timeout: Duration,
}

/// Settings of TLS.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// The certificate of the server and those that vouch for it, in PEM; with it, the port speaks TLS and nothing else
    #[arg(long, env = "TENANTRY_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key", hide_env_values = true)]
    pub tls_certificate: Option<PathBuf>,

    /// The key of the certificate, in PEM
    #[arg(long, env = "TENANTRY_TLS_KEY", value_name = "FILE", requires = "tls_certificate", hide_env_values = true)]
    pub tls_key: Option<PathBuf>,

    /// The authorities that must vouch for a client's certificate, in PEM; with it, nobody connects without one
    #[arg(
        long,
        env = "TENANTRY_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_certificate",
        hide_env_values = true
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// The oldest version of TLS that is spoken, `1.2` or `1.3`
    #[arg(
        long,
        env = "TENANTRY_TLS_MIN_VERSION",
        value_name = "VERSION",
        default_value = "1.2",
        hide_env_values = true
    )]
    pub tls_min_version: TlsVersion,

    /// How often the files are looked at; new ones serve the connections that come after, 10ms to 1d
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
    /// Checks what no setting can tell alone.
    ///
    /// # Errors
    /// Says in one line what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.tls.tls_certificate.is_none() && !self.listen.ip().is_loopback() && !self.allow_plaintext {
            return Err(format!(
                "{} is an address that other machines reach, and there is no TLS: give --tls-certificate and --tls-key, or ask for \
                 plaintext with --allow-plaintext true",
                self.listen
            ));
        }
        Ok(())
    }
}
