//! Gives every call an id: on its log lines, on its answer, and in the answer to a fault of ours.

use std::time::Instant;

use http::{HeaderName, HeaderValue, Response};
use tonic::{Code, Status, body::Body};
use tracing::Instrument as _;

use super::{Around, Inner};
use crate::{security::random, telemetry::REQUEST_ID, transport::Request};

/// The metadata entry of the id, in the request and in the answer.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a client.
const MAX_CHARS: usize = 64;

/// Takes the client's id, or makes one.
#[derive(Clone, Copy, Debug)]
pub struct RequestId;

impl Around for RequestId {
    async fn around<S: Inner>(&self, request: Request, inner: S) -> Response<Body> {
        let id = request.headers().get(HEADER).and_then(read).unwrap_or_else(random::call_id);
        let span = tracing::debug_span!("call", request_id = id, method = request.uri().path());
        let header = HeaderValue::from_str(&id);
        let answer = async move {
            let begun = Instant::now();
            let response = inner.call(request).await;
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            tracing::debug!(?code, elapsed = ?begun.elapsed(), "answered");
            response
        };
        let mut response = REQUEST_ID.scope(id, answer).instrument(span).await;
        if let Ok(mut header) = header {
            // No two answers have the same: remembering it would push what is alike out of the connection's header table.
            header.set_sensitive(true);
            response.headers_mut().insert(HEADER, header);
        }
        response
    }
}

/// A client's id, if it is one that cannot confuse a log: up to 64 letters, digits, `-` and `_`.
fn read(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}
