//! The operations port: metrics, liveness and readiness, as plain HTTP on a port of its own.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::body::Body;

use super::plain;
use crate::{app::health::Health, telemetry::metrics::Metrics};

/// Most requests at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a request may take, with its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long to take no connection after the system had nothing left for one.
const REST: Duration = Duration::from_millis(100);

/// What the port serves.
pub struct Port {
    /// The metrics.
    pub metrics: Metrics,
    /// Whether it is alive and ready.
    pub health: Health,
}

impl Port {
    /// Answers the requests that come. It runs until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let (port, places) = (Arc::new(self), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let port = Arc::clone(&port);
            tokio::spawn(async move {
                let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(port.answer(&request))));
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(TIMEOUT).keep_alive(false);
                // Who asks has gone, or is too slow: that is nobody's loss.
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
