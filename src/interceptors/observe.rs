//! Gives every call an id and a span, and counts it in the metrics. The id is in its log lines, its answer, and the details of an internal
//! error.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue, Response, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tonic::{Code, Status, body::Body};
use tracing::Instrument as _;

use super::{AccessTable, Layer, Next, Received};
use crate::{
    security::random,
    telemetry::{REQUEST_ID, metrics::seconds, trace},
};

/// The metadata key of the id, in requests and answers.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id accepted from a client.
const MAX_CHARS: usize = 64;
/// Label for unknown methods.
const UNKNOWN: &str = "unknown";

/// Labels of the call counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    service: String,
    method: String,
    code: &'static str,
}

/// Labels of the duration histogram.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    service: String,
    method: String,
}

/// Uses the client's id or creates one, and observes how the call ends.
pub struct Observe {
    calls: Family<Labels, Counter>,
    durations: Family<MethodLabels, Histogram>,
    methods: HashMap<String, Arc<Meter>>,
    unknown: Arc<Meter>,
}

/// The metrics of one method. The counter of successful calls and the histogram are cached.
struct Meter {
    calls: Family<Labels, Counter>,
    service: String,
    method: String,
    ok: Counter,
    duration: Histogram,
}

impl Observe {
    /// Counts the calls of these methods.
    pub fn new(access: &AccessTable) -> Self {
        let make: fn() -> Histogram = seconds;
        let (calls, durations) = (Family::default(), Family::new_with_constructor(make));
        let meter = |path: &str| Arc::new(Meter::new(path, &calls, &durations));
        let methods = access.methods().map(|method| (method.path.clone(), meter(&method.path))).collect();
        let unknown = meter(UNKNOWN);
        Self { calls, durations, methods, unknown }
    }

    /// Registers its metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Answered calls by status code; streams when they begin", self.calls.clone());
        let help = "Time until calls were answered; for streams, until they began";
        registry.register("call_duration_seconds", help, self.durations.clone());
    }
}

impl Meter {
    fn new(path: &str, calls: &Family<Labels, Counter>, durations: &Family<MethodLabels, Histogram>) -> Self {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((UNKNOWN, UNKNOWN));
        let (service, method) = (service.to_owned(), method.to_owned());
        let ok = Labels { service: service.clone(), method: method.clone(), code: code_name(Code::Ok) };
        let of_method = MethodLabels { service: service.clone(), method: method.clone() };
        Self {
            ok: calls.get_or_create_owned(&ok),
            duration: durations.get_or_create_owned(&of_method),
            calls: calls.clone(),
            service,
            method,
        }
    }

    fn answered(&self, code: Code, elapsed: Duration) {
        self.duration.observe(elapsed.as_secs_f64());
        if code == Code::Ok {
            self.ok.inc();
            return;
        }
        let labels = Labels { service: self.service.clone(), method: self.method.clone(), code: code_name(code) };
        self.calls.get_or_create(&labels).inc();
    }
}

/// A call that may still be cancelled by its client.
struct Pending<'a>(&'a Meter, Instant, Option<Code>);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.answered(self.2.unwrap_or(Code::Cancelled), self.1.elapsed());
    }
}

impl Layer for Observe {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        let id = request.head.headers.get(HEADER).and_then(read).unwrap_or_else(random::call_id);
        let span = trace::call(&request.head.headers, request.head.uri.path(), &id);
        let meter = self.methods.get(request.head.uri.path()).unwrap_or(&self.unknown);
        let header = HeaderValue::from_str(&id);
        let (ends, path) =
            (span.clone(), tracing::enabled!(tracing::Level::DEBUG).then(|| request.head.uri.path().to_owned()));
        let answer = async move {
            let mut pending = Pending(meter, Instant::now(), None);
            let response = next.call(request).await;
            let status = Status::from_header_map(response.headers());
            let code = match &status {
                Some(status) => status.code(),
                None if response.status() == StatusCode::OK => Code::Ok,
                None => Code::Unknown,
            };
            pending.2 = Some(code);
            trace::answered(&ends, code_name(code), matches!(code, Code::Internal | Code::Unknown | Code::DataLoss));
            if let Some(method) = path {
                let message = status.as_ref().map(Status::message).unwrap_or_default();
                tracing::debug!(method, ?code, error = message, elapsed = ?pending.1.elapsed(), "answered");
            }
            response
        };
        let mut response = REQUEST_ID.scope(id, answer).instrument(span).await;
        if let Ok(mut header) = header {
            // No two answers share an id, so indexing it would evict useful entries from the connection's HPACK table.
            header.set_sensitive(true);
            response.headers_mut().insert(HEADER, header);
        }
        response
    }
}

/// The protocol's name of a status code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The client's id, if it is safe to log: up to 64 letters, digits, `-` and `_`.
fn read(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    ((1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}
