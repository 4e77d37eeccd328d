//! Accepts connections up to the limits, with optional TLS, and runs the calls of each over HTTP/2. A connection that does not begin with
//! the HTTP/2 preface is served as HTTP/1, for plain requests.
//!
//! A call that finishes without waiting, as most reads do, runs on its connection's task: all calls that arrive with one read from the
//! socket start there, and their answers leave in one write. A call that has to wait is moved to a task of its own, so that it does not
//! delay others.

mod admission;
pub mod answers;
mod begun;
mod body;
mod calls;
mod connection;
mod outgoing;
mod tls;

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Response;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::watch};
use tonic::codegen::BoxFuture;

use self::admission::Admission;
pub use self::{body::RequestBody, outgoing::Outgoing, tls::Tls};
use crate::{config::NetworkArgs, error::chain, transport::answers::Answers};

/// Pause after the system could not accept a connection, for example because no file descriptors are left.
const REST: Duration = Duration::from_millis(100);
/// Minimum interval between log messages about that.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A request with its body as received.
pub type Request = http::Request<RequestBody>;

/// Handles requests.
pub trait Answer: Send + Sync + 'static {
    /// Returns the response to one request.
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Outgoing>, Infallible>;
}

/// The server side of all connections.
pub struct Transport {
    service: Arc<dyn Answer>,
    settings: NetworkArgs,
    tls: Option<Arc<Tls>>,
    admission: Admission,
    answers: Answers,
}

impl Transport {
    /// Serves with these settings, and with TLS if given.
    pub fn new(service: Arc<dyn Answer>, settings: NetworkArgs, tls: Option<Arc<Tls>>, answers: Answers) -> Self {
        let admission = Admission::new(settings.max_connections, settings.max_connections_per_peer);
        Self { service, settings, tls, admission, answers }
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.admission.register(registry);
    }

    /// Serves the connections of a listener until `stop`. Then it stops accepting, and returns once the calls in flight have been answered
    /// and their connections are closed.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let transport = Arc::new(self);
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        let mut logged: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted.and_then(|(stream, peer)| stream.set_nodelay(true).map(|()| (stream, peer))) {
                Ok((stream, peer)) => {
                    // If there is no room, the connection is closed immediately: a waiting client would wait in vain.
                    let Some(seat) = transport.admission.admit(peer.ip()) else { continue };
                    let (transport, stopped) = (Arc::clone(&transport), stopped.clone());
                    tokio::spawn(async move { connection::serve(&transport, stream, seat, stopped).await });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if logged.is_none_or(|logged| logged.elapsed() > LOG_EVERY) {
                        logged = Some(Instant::now());
                        tracing::warn!(error = chain(&error), "cannot accept connections");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
        // From now on the system refuses new connections instead of letting them wait.
        drop(listener);
        drop(stopped);
        let _ = stopping.send(());
        stopping.closed().await;
    }
}

/// True if the peer caused the failure.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::NotConnected
            | Kind::InvalidInput
    )
}
