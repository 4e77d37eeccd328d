//! Gives every call an id: on its log lines, on its answer, and in the answer to a fault of ours.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::{Answer, ready_clone};
use crate::security::random;

/// The metadata entry of the id, in the request and in the answer.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a client.
const MAX_CHARS: usize = 64;

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the call that is being answered; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Takes the client's id, or makes one.
#[derive(Clone, Copy, Debug)]
pub struct RequestIdLayer;

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestId { inner }
    }
}

/// A service whose calls have ids.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for RequestId<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let id = request.headers().get(HEADER).and_then(read).unwrap_or_else(|| random::base62(16));
        let span = tracing::info_span!("call", request_id = id, method = request.uri().path());
        let mut inner = ready_clone(&mut self.inner);
        let header = HeaderValue::from_str(&id).ok();
        let answer = async move {
            let begun = Instant::now();
            let mut response = inner.call(request).await?;
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            tracing::debug!(?code, elapsed = ?begun.elapsed(), "answered");
            if let Some(header) = header {
                response.headers_mut().insert(HEADER, header);
            }
            Ok(response)
        };
        Box::pin(CURRENT.scope(id, answer).instrument(span))
    }
}

/// A client's id, if it is one that cannot confuse a log: up to 64 letters, digits, `-` and `_`.
fn read(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}
