//! Telemetry: log, metrics and traces, and the secrets that must not be in them.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Injector, TextMapPropagator as _},
    trace::{SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use prost::Message as _;
use tenantry::pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::support::{
    Backend, Test, both, canary,
    database::TestDatabase,
    given::{Issued as _, PASSWORD, unique},
    refused,
    serving::Serving,
};

/// A collector of traces.
#[derive(Clone)]
struct Collector {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
    arrived: watch::Sender<()>,
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self { spans: Arc::default(), arrived: watch::Sender::new(()) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, address)
    }

    /// The spans of a trace with the names of their services, once they are complete.
    async fn spans(&self, trace_id: &[u8], are_all: impl Fn(&[(String, Span)]) -> bool) -> Vec<(String, Span)> {
        let mut arrived = self.arrived.subscribe();
        loop {
            let spans = self.spans.lock().unwrap().clone();
            let of_trace: Vec<_> = spans.into_iter().filter(|(_, span)| span.trace_id == trace_id).collect();
            if are_all(&of_trace) {
                return of_trace;
            }
            arrived.changed().await.unwrap();
        }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        // Checks all names and values.
        canary::check(&String::from_utf8_lossy(&request.encode_to_vec()));
        for resource in request.resource_spans {
            let attributes = resource.resource.into_iter().flat_map(|resource| resource.attributes);
            let name = attributes.filter(|attribute| attribute.key == "service.name").find_map(|attribute| {
                match attribute.value?.value? {
                    Value::StringValue(name) => Some(name),
                    _ => None,
                }
            });
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let name = name.unwrap_or_default();
            self.spans.lock().unwrap().extend(spans.map(|span| (name.clone(), span)));
        }
        self.arrived.send_replace(());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Writes a trace context into metadata.
struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        let key: tonic::metadata::AsciiMetadataKey = key.parse().unwrap();
        self.0.insert(key, value.parse().unwrap());
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{name} of {} is {other:?}", span.name),
    }
}

#[both]
async fn a_trace_goes_from_the_caller_through_the_call_to_the_statement(backend: Backend) {
    let (collector, address) = Collector::start().await;
    let endpoint = format!("http://{address}");
    let database = TestDatabase::empty(backend).await;
    let (url, to) = (database.url(), endpoint.clone());
    let serving = tokio::task::spawn_blocking(move || Serving::start_patient(&url, &[("TENANTRY_OTLP_ENDPOINT", &to)]));
    let serving = serving.await.unwrap();
    let key = serving.first_admin_key.clone().unwrap();

    // The caller traces too, and sends its spans to the same collector.
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(&endpoint).build().unwrap();
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("caller").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("test");
    let span = tracer.span_builder("sign up").with_kind(SpanKind::Client).with_attributes([KeyValue::new("a", "b")]);
    let context = Context::new().with_span(span.start_with_context(&tracer, &Context::new()));
    let trace_id = context.span().span_context().trace_id().to_bytes();
    let mut request = Request::new(pb::SignUpRequest {
        email: format!("{}@example.com", unique("traced")),
        name: "Ada".to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    });
    TraceContextPropagator::new().inject_context(&context, &mut Metadata(request.metadata_mut()));
    serving.with_key(&key).authentication().sign_up(request).await.unwrap();
    context.span().end();
    tokio::task::spawn_blocking(move || provider.shutdown().unwrap()).await.unwrap();

    let is_insert = |span: &Span| span.name == "statement" && attribute(span, "db.query.text").contains("cf_users");
    let spans = collector
        .spans(&trace_id, |spans| {
            let has = |wanted: &dyn Fn(&Span) -> bool| spans.iter().any(|(_, span)| wanted(span));
            has(&|span| span.name == "sign up") && has(&|span| span.name.ends_with("/SignUp")) && has(&is_insert)
        })
        .await;
    let one = |name: &str| spans.iter().find(|(_, span)| span.name.ends_with(name)).unwrap();
    let (caller, client) = one("sign up");
    let (service, server) = one("/SignUp");
    assert_eq!((caller.as_str(), service.as_str()), ("caller", "tenantry"));
    assert_eq!(server.name, "tenantry.v1.AuthenticationService/SignUp");
    assert_eq!(server.parent_span_id, client.span_id);
    assert_eq!((server.kind, attribute(server, "rpc.response.status_code").as_str()), (2, "OK"));
    let statements: Vec<&Span> = spans.iter().map(|(_, span)| span).filter(|span| span.name == "statement").collect();
    let system = if backend == Backend::Sqlite { "sqlite" } else { "postgresql" };
    for statement in &statements {
        assert_eq!((&statement.parent_span_id, statement.kind), (&server.span_id, 3));
        assert_eq!(attribute(statement, "db.system.name"), system);
    }
    assert!(statements.iter().any(|span| is_insert(span)));
    database.remove().await;
}

/// The answer of the metrics port.
async fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[both(options = ["--metrics-listen", "127.0.0.1:0"])]
async fn the_metrics_count_calls_and_name_nobody(t: Arc<Test>) {
    let world = crate::support::request::World::make(&t).await;
    let admin = t.admin();
    admin.users().get_user(pb::GetUserRequest { user_id: world.user.id.clone() }).await.unwrap();
    let missing = pb::GetUserRequest { user_id: crate::support::MISSING_ID.to_owned() };
    admin.users().get_user(missing).await.unwrap_err();
    t.anonymous().users().list_users(pb::ListUsersRequest::default()).await.unwrap_err();
    t.with_key("cf_live_wrong").users().list_users(pb::ListUsersRequest::default()).await.unwrap_err();
    // A reused token.
    let user_id = world.user.id.clone();
    let created = admin
        .refresh_tokens()
        .create_refresh_token(pb::CreateRefreshTokenRequest { user_id, ..Default::default() })
        .await;
    let plaintext_token = created.unwrap().into_inner().issued().plaintext_token;
    let rotate = || pb::RotateRefreshTokenRequest { plaintext_token: plaintext_token.clone(), ..Default::default() };
    admin.refresh_tokens().rotate_refresh_token(rotate()).await.unwrap();
    refused(admin.refresh_tokens().rotate_refresh_token(rotate()).await, pb::ErrorReason::RefreshTokenRejected);

    let address = t.server.lock().await.as_ref().unwrap().metrics_address.unwrap();
    let (head, metrics) = ask(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("openmetrics-text"), "{head}");
    for wanted in [
        "tenantry_calls_total{service=\"tenantry.v1.UserService\",method=\"GetUser\",code=\"NOT_FOUND\"} 1",
        "tenantry_calls_total{service=\"tenantry.v1.UserService\",method=\"ListUsers\",code=\"UNAUTHENTICATED\"} 2",
        "tenantry_call_duration_seconds_bucket{le=\"0.01\",service=\"tenantry.v1.UserService\",method=\"GetUser\"}",
        "tenantry_authentication_failures_total{class=\"missing\"} 1",
        "tenantry_authentication_failures_total{class=\"malformed\"} 1",
        "tenantry_events_total{action=\"session.reused\"} 1",
        "tenantry_calls_in_flight 0",
        "tenantry_connections ",
        "tenantry_pool_wait_seconds_count",
        "tenantry_hash_queue 0",
        "tenantry_database_up 1",
        "tenantry_process_resident_memory_bytes",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in\n{metrics}");
    }
    assert_eq!(canary::secret_in(&metrics), None);
    // Labels have few values: names of services, methods, codes, classes, actions, limits, jobs.
    let labels: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0))
        .flat_map(|labels| labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)))
        .collect();
    let known: BTreeSet<&str> =
        ["service", "method", "code", "le", "class", "action", "limit", "priority", "version", "job", "outcome"].into();
    assert!(labels.is_subset(&known), "{labels:?}");
    assert!(!metrics.contains(&world.user.id) && !metrics.contains("@example.com"));
    for (path, expected) in [("/livez", "200"), ("/readyz", "200"), ("/other", "404")] {
        assert!(ask(address, path).await.0.starts_with(&format!("HTTP/1.1 {expected}")), "{path}");
    }
}

#[both]
async fn an_answer_carries_the_id_that_its_caller_gave(t: Arc<Test>) {
    let mut request = Request::new(pb::GetUserRequest { user_id: crate::support::MISSING_ID.to_owned() });
    request.metadata_mut().insert("x-request-id", "caller-7".parse().unwrap());
    let status = t.admin().users().get_user(request).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "caller-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_call_carries_its_id_and_is_one_line_whatever_its_client_sends() {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let url = database.url();
    let (lines, seen) = std::sync::mpsc::channel();
    let serving = tokio::task::spawn_blocking(move || Serving::start_telling(&url, &[], lines)).await.unwrap();
    let key = serving.first_admin_key.clone().unwrap();
    let mut request = Request::new(pb::CreateUserRequest {
        email: "a@example.com".to_owned(),
        name: "Ada \u{1b}[31m {\"level\":\"ERROR\"}".to_owned(),
        ..Default::default()
    });
    request.metadata_mut().insert("x-request-id", "caller-8".parse().unwrap());
    let status = serving.with_key(&key).users().create_user(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let mut last = 0;
    loop {
        let line: serde_json::Value = serde_json::from_str(&seen.recv().unwrap()).unwrap();
        let number = line["number"].as_u64().unwrap();
        assert!(number > last, "numbers grow: {line}");
        last = number;
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        if line["message"] == "answered" {
            assert_eq!(line["fields"]["request_id"], "caller-8");
            break;
        }
    }
}
