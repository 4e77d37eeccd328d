//! One connection, from its first byte to its end.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Sleep, sleep},
};
use tonic::transport::server::{Connected as _, TcpConnectInfo};

use super::{
    RequestBody, Transport,
    admission::ConnectionPermit,
    begun::{PeekedStream, Protocol, Stream},
    calls::Calls,
};
use crate::{config::NetworkArgs, error::chain, security::random};

/// Time for a plain request to arrive after the connection is open; arriving and being answered may take twice that.
const PLAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum bytes of a plain request.
const MAX_PLAIN_BYTES: usize = 16 * 1024;
/// Maximum unsent bytes per stream held by the connection. Everything beyond that can still be dropped.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Interval of checks on a closing connection. If it has no calls at two consecutive checks, it is closed, whether or not its client has
/// reacted.
const LOOK: Duration = Duration::from_millis(500);

/// Serves a connection until it ends, or until the server stops and its calls have been answered.
pub(super) async fn serve(
    transport: &Transport,
    stream: TcpStream,
    _seat: ConnectionPermit,
    mut stopped: watch::Receiver<()>,
) {
    let peer = stream.connect_info();
    let begun = tokio::select! {
        begun = tokio::time::timeout(transport.settings.handshake_timeout, begin(transport, stream)) => begun,
        _ = stopped.changed() => return,
    };
    let ended = match begun {
        Ok(Ok((stream, Protocol::Http2))) => http2(transport, stream, peer, stopped).await,
        Ok(Ok((stream, Protocol::Http1))) => http1(transport, stream, peer, stopped).await,
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the client did not complete the handshake in time".to_owned()),
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection failed");
    }
}

/// Performs the handshake and detects the protocol.
async fn begin(transport: &Transport, stream: TcpStream) -> io::Result<(PeekedStream, Protocol)> {
    let stream = match &transport.tls {
        Some(tls) => Stream::Tls(Box::new(tls.acceptor().accept(stream).await?)),
        None => Stream::Plain(stream),
    };
    PeekedStream::read(stream).await
}

async fn http2(
    transport: &Transport,
    stream: PeekedStream,
    peer: TcpConnectInfo,
    mut stopped: watch::Receiver<()>,
) -> Result<(), String> {
    let settings = &transport.settings;
    let calls = Calls::new(settings.send_timeout, transport.answers.clone());
    let answer = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        Arc::clone(&transport.service).answer(request.map(RequestBody::Incoming))
    });
    let mut connection = pin!(builder(settings, calls.clone()).serve_connection(TokioIo::new(stream), answer));
    let mut stopped = pin!(stopped.changed());
    let mut life = Life::new(settings);
    let ended = poll_fn(|cx| {
        if life.must_end(cx, stopped.as_mut(), &calls) == Ending::Begins {
            connection.as_mut().graceful_shutdown();
        }
        let ended = connection.as_mut().poll(cx);
        // An answer wakes this task, so the connection is polled again and writes it.
        calls.begin();
        if ended.is_pending() && life.is_over {
            return Poll::Ready(Ok(()));
        }
        ended
    });
    ended.await.map_err(|error| chain(&error))
}

/// The lifetime of a connection. At its end the client is asked to open another one (GOAWAY), and calls in flight may finish within a grace
/// period. A client that does not react cannot prolong it.
struct Life {
    age: Option<Pin<Box<Sleep>>>,
    grace: Duration,
    ending: Option<Look>,
    is_over: bool,
}

/// The checks on a closing connection.
struct Look {
    next: Pin<Box<Sleep>>,
    /// Ends the grace period for calls in flight, if it is bounded here.
    over: Option<Pin<Box<Sleep>>>,
    was_idle: bool,
}

/// Whether the connection starts to close with this poll.
#[derive(PartialEq, Eq)]
enum Ending {
    Begins,
    NotNow,
}

impl Life {
    fn new(settings: &NetworkArgs) -> Self {
        let [jitter] = random::bytes();
        let age = settings.connection_age.mul_f64(0.9 + 0.2 * f64::from(jitter) / 255.0);
        let age = (!age.is_zero()).then(|| Box::pin(sleep(age)));
        Self { age, grace: settings.connection_grace, ending: None, is_over: false }
    }

    fn must_end(&mut self, cx: &mut Context<'_>, stopped: Pin<&mut impl Future>, calls: &Calls) -> Ending {
        let Some(look) = &mut self.ending else {
            let is_stopped = stopped.poll(cx).is_ready();
            let is_old = self.age.as_mut().is_some_and(|age| age.as_mut().poll(cx).is_ready());
            if !is_stopped && !is_old {
                return Ending::NotNow;
            }
            let mut look = Look { next: Box::pin(sleep(LOOK)), over: None, was_idle: false };
            // When the server stops, it bounds the grace period itself.
            if !is_stopped {
                look.over = Some(Box::pin(sleep(self.grace)));
            }
            self.is_over = look.is_over(cx, calls);
            self.ending = Some(look);
            return Ending::Begins;
        };
        self.is_over = look.is_over(cx, calls);
        Ending::NotNow
    }
}

impl Look {
    fn is_over(&mut self, cx: &mut Context<'_>, calls: &Calls) -> bool {
        while self.next.as_mut().poll(cx).is_ready() {
            self.next = Box::pin(sleep(LOOK));
            let is_idle = calls.live() == 0;
            if is_idle && self.was_idle {
                return true;
            }
            self.was_idle = is_idle;
        }
        self.over.as_mut().is_some_and(|over| over.as_mut().poll(cx).is_ready())
    }
}

fn builder(settings: &NetworkArgs, calls: Calls) -> http2::Builder<Calls> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let mut builder = http2::Builder::new(calls);
    builder
        .timer(TokioTimer::new())
        // The library does not limit the first two by default (RUSTSEC-2024-0003).
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_local_error_reset_streams(count(settings.max_local_resets))
        .max_pending_accept_reset_streams(count(settings.max_pending_resets))
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(settings.max_header_size).unwrap_or(u32::MAX))
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        // gRPC does not use it.
        .auto_date_header(false);
    builder
}

/// Serves the only plain request of a connection.
async fn http1(
    transport: &Transport,
    stream: PeekedStream,
    peer: TcpConnectInfo,
    mut stopped: watch::Receiver<()>,
) -> Result<(), String> {
    let answer = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        Arc::clone(&transport.service).answer(request.map(RequestBody::Incoming))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PLAIN_TIMEOUT).max_buf_size(MAX_PLAIN_BYTES).keep_alive(false);
    let served = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        served = tokio::time::timeout(PLAIN_TIMEOUT * 2, served) => match served {
            Ok(served) => served.map_err(|error| chain(&error)),
            Err(_) => Err("a plain request took too long".to_owned()),
        },
        _ = stopped.changed() => Ok(()),
    }
}
