//! What carries the calls: takes connections, speaks HTTP/2 on each, and runs the calls that come on it. A connection that begins as
//! HTTP/1 does is served as that: plain requests come so.
//!
//! A call that is answered at once, as most reads are, is answered on its connection's task: all that a read from the socket
//! brings are begun there, and what is answered leaves in one write. A call that has to wait for something gets a task of its own,
//! so that it holds up nobody.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::Response;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2::Builder},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{body::Body, codegen::BoxFuture, transport::server::Connected as _};

use crate::error::chain;

/// Calls in flight on one connection, and local resets before one is cut. The library's own defaults are "no limit"
/// (RUSTSEC-2024-0003).
const MAX_CONCURRENT_STREAMS: u32 = 128;
const MAX_LOCAL_RESETS: usize = 256;
/// Largest header block of a request.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// When a silent peer is asked whether it is there, and how long its answer may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How long a plain request may take to come, once its connection is there.
const PLAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a plain request.
const MAX_PLAIN_BYTES: usize = 16 * 1024;
/// How long to take no connection after the system had nothing left for one, as when all file descriptors are in use.
const REST: Duration = Duration::from_millis(100);

/// A call as it comes from the wire.
pub type Request = http::Request<Incoming>;

/// Answers calls.
pub trait Answer: Send + Sync + 'static {
    /// Answers one.
    fn answer(self: Arc<Self>, request: Request) -> BoxFuture<Response<Body>, Infallible>;
}

/// Serves the connections of a listener until `stop`; then takes no more, and ends when the calls in flight have been answered and
/// their connections are closed.
pub async fn serve(listener: TcpListener, service: Arc<dyn Answer>, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => drop(tokio::spawn(connection(stream, Arc::clone(&service), stopped.clone()))),
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(error = chain(&error), "a connection cannot be taken");
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

/// Serves one connection.
async fn connection(stream: TcpStream, service: Arc<dyn Answer>, mut stopped: watch::Receiver<()>) {
    let peer = stream.connect_info();
    let is_plain = tokio::select! {
        is_plain = is_plain(&stream) => is_plain,
        _ = stopped.changed() => return,
    };
    match is_plain {
        Ok(true) => return plain(stream, service, stopped).await,
        Ok(false) => {}
        Err(error) => return tracing::debug!(error = chain(&error), "a connection failed"),
    }
    let calls = Calls::default();
    let answer = service_fn(|mut request: Request| {
        request.extensions_mut().insert(peer.clone());
        Arc::clone(&service).answer(request)
    });
    let mut connection = pin!(http2(calls.clone()).serve_connection(TokioIo::new(stream), answer));
    let mut stopped = pin!(stopped.changed());
    let mut is_stopping = false;
    let ended = poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        let ended = connection.as_mut().poll(cx);
        // An answer wakes this task, so the connection is looked at again, and writes it.
        calls.begin();
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(error = chain(&error), "a connection failed");
    }
}

/// Whether a connection begins with a request of HTTP/1, and not as every one of HTTP/2 does.
async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut begin = [0; 1];
    stream.peek(&mut begin).await?;
    Ok(matches!(begin, [b'G' | b'H']))
}

/// Serves the one plain request of a connection.
async fn plain(stream: TcpStream, service: Arc<dyn Answer>, mut stopped: watch::Receiver<()>) {
    let answer = service_fn(|request: Request| Arc::clone(&service).answer(request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PLAIN_TIMEOUT).max_buf_size(MAX_PLAIN_BYTES).keep_alive(false);
    let served = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        served = tokio::time::timeout(PLAIN_TIMEOUT * 2, served) => {
            if let Ok(Err(error)) = served {
                tracing::debug!(error = chain(&error), "a connection failed");
            }
        }
        _ = stopped.changed() => {}
    }
}

fn http2(calls: Calls) -> Builder<Calls> {
    let mut builder = Builder::new(calls);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        // gRPC knows none.
        .auto_date_header(false);
    builder
}

type BoxedCall = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The calls of a connection that have come and not begun.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<BoxedCall>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        self.waiting().push(Box::pin(call));
    }
}

impl Calls {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<BoxedCall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins them, in the order of coming. Those that are not done at once go on in tasks of their own.
    fn begin(&self) {
        let calls = std::mem::take(&mut *self.waiting());
        for mut call in calls {
            // Whoever goes on with it polls it again and is woken; until then nobody needs to be. A fault in one call must not
            // take the others of its connection with it; that it ended is told by the reset of its stream.
            let begun = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
            if let Ok(Poll::Pending) = begun {
                tokio::spawn(call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_fault_in_one_call_and_a_call_that_waits_take_no_other_with_them() {
        let calls = Calls::default();
        let (release, released) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let (waited, has_waited) = oneshot::channel();
        calls.execute(async { assert!(std::hint::black_box(false), "a fault in a call") });
        calls.execute(async {
            released.await.ok();
            waited.send(()).ok();
        });
        calls.execute(async {
            done.send(()).ok();
        });
        calls.begin();
        assert_eq!(is_done.await, Ok(()), "it needs nothing, so it ends as it begins");
        assert!(calls.waiting().is_empty());
        release.send(()).ok();
        assert_eq!(has_waited.await, Ok(()));
    }
}
