//! The operations port: metrics, liveness and readiness, as plain HTTP on a separate port.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::body::Body;

use super::plain;
use crate::{app::health::Health, telemetry::metrics::Metrics};

/// Maximum concurrent connections.
const MAX_CONNECTIONS: usize = 16;
/// Maximum time for a request and its response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system could not accept a connection.
const REST: Duration = Duration::from_millis(100);

/// The operations port.
pub struct Port {
    /// The metrics at `/metrics`.
    pub metrics: Metrics,
    /// The state reported by `/livez` and `/readyz`.
    pub health: Health,
}

impl Port {
    /// Answers requests, for as long as it is polled.
    pub async fn serve(self: Arc<Self>, listener: Arc<TcpListener>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let port = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(port.answer(&request))));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).keep_alive(false);
                // The client has gone or is too slow, which needs no handling.
                let _ = tokio::time::timeout(TIMEOUT, builder.serve_connection(TokioIo::new(stream), answer)).await;
                drop(place);
            });
        }
    }

    fn answer(&self, request: &http::Request<Incoming>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = Response::new(Body::new(self.metrics.text()));
                let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            "/livez" => plain(StatusCode::OK),
            "/readyz" if self.health.is_ready() => plain(StatusCode::OK),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE),
            _ => plain(StatusCode::NOT_FOUND),
        }
    }
}
