//! Traces: a span for each call, which continues its client's trace, and one for each statement it sends to the database.

use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;
use tracing::{Span, Subscriber, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::config::TelemetryArgs;

/// Target that distinguishes trace spans from log entries.
const TARGET: &str = "tenantry::trace";

/// True if spans are exported. If not, none are created.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// The exporter of spans, if an endpoint is configured.
pub(super) fn provider(args: &TelemetryArgs) -> Result<Option<SdkTracerProvider>, String> {
    let Some(endpoint) = &args.otlp_endpoint else { return Ok(None) };
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https://") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_native_roots());
    }
    let exporter = exporter.build().map_err(|error| format!("--otlp-endpoint cannot be used: {error}"))?;
    let resource = Resource::builder()
        .with_service_name("tenantry")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(args.trace_ratio))))
        .with_resource(resource)
        .build();
    IS_ON.store(true, Ordering::Relaxed);
    Ok(Some(provider))
}

/// The layer that passes spans to a provider.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(provider: &SdkTracerProvider) -> impl Layer<S> {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tenantry"));
    layer
        .with_location(false)
        .with_threads(false)
        .with_filter(Targets::new().with_target(TARGET, tracing::Level::TRACE))
}

/// True if spans are exported.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The span of a call. It continues the trace named in the headers (W3C Trace Context).
pub fn call(headers: &HeaderMap, path: &str, request_id: &str) -> Span {
    if !is_on() {
        return Span::none();
    }
    let method = path.trim_start_matches('/');
    let span = tracing::trace_span!(
        target: TARGET,
        "call",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        tenantry.request_id = request_id,
    );
    // Without a parent, the span begins a new trace.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    span
}

/// Records how a call ended.
pub fn answered(span: &Span, code: &'static str, is_fault: bool) {
    span.record("rpc.response.status_code", code);
    if is_fault {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a statement.
pub fn statement(system: &'static str) -> Span {
    if !is_on() {
        return Span::none();
    }
    tracing::trace_span!(
        target: TARGET,
        "statement",
        otel.kind = "client",
        db.system.name = system,
        db.query.text = Empty,
    )
}

/// Records the text of the statement being sent, without its values.
pub fn sent(text: &str) {
    Span::current().record("db.query.text", text);
}

/// Headers as read by the propagator.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
