//! What carries the calls: takes connections, as many as there may be, speaks TLS where that is asked for and HTTP/2 on each, and
//! runs the calls that come on it. A connection that begins as HTTP/1 does is served as that: plain requests come so.
//!
//! A call that is answered at once, as most reads are, is answered on its connection's task: all that a read from the socket
//! brings are begun there, and what is answered leaves in one write. A call that has to wait for something gets a task of its own,
//! so that it holds up nobody.

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

/// How long to take no connection after the system had nothing left for one, as when all file descriptors are in use.
const REST: Duration = Duration::from_millis(100);
/// How often that is told.
const TELL: Duration = Duration::from_secs(10);

/// A call as it comes from the wire.
pub type Request = http::Request<RequestBody>;

/// Answers calls.
pub trait Answer: Send + Sync + 'static {
    /// Answers one.
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Outgoing>, Infallible>;
}

/// What takes connections.
pub struct Transport {
    service: Arc<dyn Answer>,
    settings: NetworkArgs,
    tls: Option<Arc<Tls>>,
    admission: Admission,
    answers: Answers,
}

impl Transport {
    /// Serves by settings, with TLS if there is any.
    pub fn new(service: Arc<dyn Answer>, settings: NetworkArgs, tls: Option<Arc<Tls>>, answers: Answers) -> Self {
        let admission = Admission::new(settings.max_connections, settings.max_connections_per_peer);
        Self { service, settings, tls, admission, answers }
    }

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        self.admission.register(registry);
    }

    /// Serves the connections of a listener until `stop`; then takes no more, and ends when the calls in flight have been answered and
    /// their connections are closed.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let transport = Arc::new(self);
        let (stopping, stopped) = watch::channel(());
        let mut stop = pin!(stop);
        let mut told: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted.and_then(|(stream, peer)| stream.set_nodelay(true).map(|()| (stream, peer))) {
                Ok((stream, peer)) => {
                    // Closed at once where there is no room: whoever waits for an answer would wait for nothing.
                    let Some(seat) = transport.admission.admit(peer.ip()) else { continue };
                    let (transport, stopped) = (Arc::clone(&transport), stopped.clone());
                    tokio::spawn(async move { connection::serve(&transport, stream, seat, stopped).await });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if told.is_none_or(|told| told.elapsed() > TELL) {
                        told = Some(Instant::now());
                        tracing::warn!(error = chain(&error), "connections cannot be taken");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
        // From now on the system refuses who comes, instead of letting it wait for an answer.
        drop(listener);
        drop(stopped);
        let _ = stopping.send(());
        stopping.closed().await;
    }
}

/// Whether a connection failed by what its peer did.
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
